//! `compute`: how fast compiled code runs beside `wasmtime run` of the same release. The guest takes its time itself: a start
//! is no part of it.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::containerd::ctr;
use crate::options::Options;
use crate::peer::Peer;
use crate::report::Report;
use crate::sample::{Case, geometric_mean, interleaved};

/// Integers in registers, floats, memory that no cache holds, calls, vectors.
const KERNELS: [&str; 5] = ["integer", "float", "memory", "calls", "simd"];

/// What the others are compared with.
const CLI: &str = "wasmtime_cli";

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let peers = options.peers_of(&[Peer::Runwasi, Peer::Normal, Peer::Shared]);
    let guest = options.folder.join("guests/compute.wasm");
    let guest = &guest;
    let mut cases = Vec::new();
    for kernel in KERNELS {
        let cli = move |_: &str| {
            let mut wasmtime = Command::new("wasmtime");
            let output = wasmtime.arg("run").arg(guest).arg(kernel).stdin(Stdio::null()).output();
            let output = output.context("cannot run wasmtime")?;
            ensure!(output.status.success(), "{wasmtime:?}: {}", String::from_utf8_lossy(&output.stderr));
            milliseconds(&String::from_utf8(output.stdout)?)
        };
        cases.push(Case { name: format!("{kernel}_{CLI}"), run: Box::new(cli) });
        for peer in peers.iter().copied() {
            let run = move |id: &str| {
                let image = peer.image("compute");
                let words = ["run", "--rm"].into_iter().chain(peer.flags().iter().copied());
                milliseconds(&ctr(words.chain([image.as_str(), id, "/compute.wasm", kernel]))?)
            };
            cases.push(Case { name: format!("{kernel}_{}", peer.name()), run: Box::new(run) });
        }
    }
    for (name, sample) in &interleaved("compute", options.compute_rounds, true, &mut cases)? {
        report.sample(&format!("compute.{name}_ms"), sample);
    }
    for peer in peers {
        compare(peer.name(), report);
    }
    Ok(())
}

/// A peer's speed relative to the program's: above 1 is faster.
fn compare(peer: &str, report: &mut Report) {
    let ratios = KERNELS.map(|kernel| {
        let name = format!("compute.{kernel}_{peer}_vs_{CLI}");
        report.ratio(&name, &format!("compute.{kernel}_{CLI}_ms"), &format!("compute.{kernel}_{peer}_ms"));
        report.get(&name).unwrap_or(f64::NAN)
    });
    report.value(&format!("compute.{peer}_vs_{CLI}"), geometric_mean(&ratios));
}

fn milliseconds(output: &str) -> Result<f64> {
    output.trim().parse().with_context(|| format!("the guest printed {output:?} instead of its time"))
}
