//! Measures containers beside their peers, in one run, under a containerd of its own. Started by `scripts/bench.sh`, which
//! gives it a mount and a pid namespace, the programs on PATH and the images.

mod containerd;
mod limits;
mod memory;
mod peer;
mod report;
mod sample;
mod startup;
mod task_api;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use containerd::Containerd;
use peer::Peer;
use report::Report;

/// One measurement; the name is the first part of its metrics' names.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// Time from `ctr run`, and from the task API's Create, to output and end.
    Startup,
    /// Memory of sleeping containers.
    Memory,
    /// How close limits are to what was asked for: CPU quota, CPU weight, memory.
    Limits,
}

#[derive(Debug, Parser)]
struct Options {
    #[arg(value_enum)]
    name: Name,
    /// Where containerd keeps its state; `images/*.tar` in it are imported.
    #[arg(long)]
    folder: PathBuf,
    /// Write the metrics there, as one flat JSON object.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Who is measured; the ratios to those left out are left out, too.
    #[arg(long, value_delimiter = ',', value_parser = Peer::from_str, default_value = "runc,crun,runwasi,normal,floor")]
    peers: Vec<Peer>,
    /// Rounds of a warm measurement.
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// Rounds of a measurement that empties the caches first.
    #[arg(long, default_value_t = 5)]
    cold_runs: usize,
    /// Containers that sleep at once when memory is measured.
    #[arg(long, default_value_t = 100)]
    containers: usize,
    /// The same, of the large components.
    #[arg(long, default_value_t = 10)]
    large_containers: usize,
    /// How often memory is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    memory_rounds: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let containerd = Containerd::start(&options.folder)?;
    containerd.import(&options.folder.join("images"))?;
    let mut report = Report::default();
    match options.name {
        Name::Startup => startup::measure(&containerd, &options, &mut report)?,
        Name::Memory => memory::measure(&containerd, &options, &mut report)?,
        Name::Limits => limits::measure(&mut report)?,
    }
    drop(containerd);
    print!("{}", report.table());
    if let Some(file) = &options.json {
        report.write(file)?;
    }
    Ok(())
}
