//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, ValueEnum};

use crate::kubernetes::Size;
use crate::peer::Peer;

/// One measurement; the name is the first part of its metrics' names.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Name {
    /// Time from `ctr run`, and from the task API's Create, to output and end.
    Startup,
    /// Memory of sleeping containers.
    Memory,
    /// How close limits are to what was asked for: CPU quota, CPU weight, memory.
    Limits,
    /// Memory of as many containers at once as a node could have.
    Density,
    /// Whole lives of containers a second.
    Lifecycle,
    /// What is left of tens of thousands of lives on one manager.
    Soak,
    /// Speed of compiled code beside `wasmtime run`.
    Compute,
    /// Calls from one component to another, and the making and size of a composed image.
    Compose,
    /// Requests of HTTP servers beside `wasmtime serve`.
    Http,
    /// Pods under a kubelet: from `kubectl apply` to Ready, and their memory.
    Kubernetes,
}

#[derive(Debug, Parser)]
pub struct Options {
    #[arg(value_enum)]
    pub name: Name,
    /// Where containerd keeps its state; `images/*.tar` in it are imported.
    #[arg(long)]
    pub folder: PathBuf,
    /// Write the metrics there, as one flat JSON object.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Who is measured; the ratios to those left out are left out, too.
    #[arg(long, value_delimiter = ',', value_parser = Peer::from_str, default_value = "runc,crun,runwasi,normal,shared,floor")]
    pub peers: Vec<Peer>,
    /// startup: rounds of warm `ctr run`.
    #[arg(long, default_value_t = 30)]
    pub runs: usize,
    /// startup: rounds of the task API.
    #[arg(long, default_value_t = 100)]
    pub task_runs: usize,
    /// startup: rounds that empty the caches first.
    #[arg(long, default_value_t = 5)]
    pub cold_runs: usize,
    /// memory: containers that sleep at once.
    #[arg(long, default_value_t = 100)]
    pub containers: usize,
    /// memory: the same, of the large components.
    #[arg(long, default_value_t = 10)]
    pub large_containers: usize,
    /// memory: how often it is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    pub memory_rounds: usize,
    /// density: containers at once under containerd, or as many as the machine bears.
    #[arg(long, default_value_t = 1000)]
    pub count: usize,
    /// density: the same, of the large component.
    #[arg(long, default_value_t = 1000)]
    pub large_count: usize,
    /// density: containers at once through the task API alone.
    #[arg(long, default_value_t = 10_000)]
    pub direct_count: usize,
    /// density: how often it is measured; the median counts.
    #[arg(long, default_value_t = 1)]
    pub density_rounds: usize,
    /// lifecycle: rounds; the median counts.
    #[arg(long, default_value_t = 5)]
    pub life_rounds: usize,
    /// lifecycle: lives in one round of a peer whose pods each need a shim.
    #[arg(long, default_value_t = 40)]
    pub lives: usize,
    /// lifecycle: lives in one round of shared mode.
    #[arg(long, default_value_t = 1000)]
    pub shared_lives: usize,
    /// lifecycle: containers of one round of `ctr run --detach`.
    #[arg(long, default_value_t = 100)]
    pub ctr_lives: usize,
    /// soak: lives in one round; what is held after the first is compared with what is held at the end.
    #[arg(long, default_value_t = 1000)]
    pub soak_lives: usize,
    /// soak: rounds.
    #[arg(long, default_value_t = 30)]
    pub soak_rounds: usize,
    /// compute: rounds; the median counts.
    #[arg(long, default_value_t = 20)]
    pub compute_rounds: usize,
    /// compose: rounds; the median counts.
    #[arg(long, default_value_t = 9)]
    pub compose_rounds: usize,
    /// compose: by how many calls two runs differ.
    #[arg(long, default_value_t = 100_000_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    pub calls: u32,
    /// http: rounds; the median counts.
    #[arg(long, default_value_t = 5)]
    pub http_rounds: usize,
    /// http: how long a load lasts, in seconds.
    #[arg(long, default_value_t = 2)]
    pub http_seconds: u32,
    /// http: servers that nobody asks for anything, beside a busy one; 0: none of that.
    #[arg(long, default_value_t = 999)]
    pub idle_servers: usize,
    /// kubernetes: how many pods at once, and how many rounds of that; the median counts.
    #[arg(long, value_delimiter = ',', value_parser = Size::from_str, default_value = "1x7,50x5,200x3")]
    pub ready: Vec<Size>,
    /// kubernetes: pods whose memory is measured.
    #[arg(long, default_value_t = 50)]
    pub mem_pods: usize,
    /// kubernetes: rounds of that; 0: none.
    #[arg(long, default_value_t = 5)]
    pub mem_rounds: usize,
}

impl Options {
    /// Those of `these` that are measured.
    pub fn peers_of(&self, these: &[Peer]) -> Vec<Peer> {
        self.peers.iter().copied().filter(|peer| these.contains(peer)).collect()
    }
}
