//! The node on which the suite runs.

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};
use image::{ImageBuilder, media};
use testkit::{Containerd, Running, Version};

use super::operation;
use super::program::Program;

/// The ports that this node's kernel gives to those who ask for any. Programs of the suite listen on such ports, and a
/// container listens on declared ports alone: so they are few, and declared.
const FREE_PORTS: RangeInclusive<u16> = 40_000..=40_127;

pub struct Node(Containerd);

impl Node {
    pub fn start() -> Result<Node> {
        let daemon = Containerd::start(Version::V2_1)?;
        let (first, last) = (FREE_PORTS.start(), FREE_PORTS.end());
        let narrow = format!("echo {first} {last} >/proc/sys/net/ipv4/ip_local_port_range");
        let narrowed = daemon.nest().command("sh").args(["-c", &narrow]).status()?;
        ensure!(narrowed.success(), "the range of free ports cannot be set: the suite is run by root");
        Ok(Node(daemon))
    }

    pub fn containerd(&self) -> &Containerd {
        &self.0
    }

    /// Starts a program as the suite describes it: with what it says and nothing else. All may open sockets; those about
    /// sockets have the node's loopback, too.
    pub fn run(&self, program: &Program, run: operation::Run) -> Result<Running<'_>> {
        // What the suite's own runner says, too, and programs check.
        let file = format!("{}.wasm", program.name.rsplit('/').next().unwrap_or_default());
        let mut image = ImageBuilder::new().wasm(&*file, program.bytes()?);
        if let Some(root) = &run.root {
            image = image.layer("root", media::OCI_LAYER_TAR, program.folder(root)?);
        }
        // In the image: containerd gives a container whose image has no variable one of its own.
        for (name, value) in &run.env {
            image = image.env(name, value);
        }
        let container = self
            .0
            .run_image(&program.name.to_lowercase(), image, &file)
            .args(run.args)
            .open_stdin()
            .annotation("run.wasm/egress", "127.0.0.0/8, [::1]")
            .annotation("run.wasm/listen", &free_ports());
        if run.network { container.host_network().spawn() } else { container.spawn() }
    }

    /// Ends the node; an error where anything was left behind.
    pub fn end(self) -> Result<()> {
        self.0.nest().assert_clean()
    }
}

fn free_ports() -> String {
    FREE_PORTS.flat_map(|port| [format!("{port}/tcp"), format!("{port}/udp")]).collect::<Vec<_>>().join(",")
}
