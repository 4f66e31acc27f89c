//! Measures containers beside their peers, in one run, under a containerd of its own. Started by `scripts/bench.sh`, which
//! gives it a mount and a pid namespace, the programs on PATH and the images.

mod books;
mod bundle;
mod compose;
mod compute;
mod containerd;
mod crowd;
mod density;
mod direct;
mod footprint;
mod http;
mod kubernetes;
mod lifecycle;
mod limits;
mod machine;
mod memory;
mod options;
mod peer;
mod pool;
mod processes;
mod report;
mod sample;
mod shim;
mod soak;
mod startup;
mod targets;
mod task_api;

use anyhow::Result;
use clap::Parser;

use containerd::Containerd;
use options::{Name, Options};
use report::Report;

fn main() -> Result<()> {
    let options = Options::parse();
    let mut report = Report::default();
    match options.name {
        // A node has a containerd, and its images.
        Name::Kubernetes => kubernetes::measure(&options, &mut report)?,
        _ => under_containerd(&options, &mut report)?,
    }
    print!("{}", report.table());
    if let Some(file) = &options.json {
        report.write(file)?;
    }
    Ok(())
}

/// Starts the containerd that everything but pods is measured under.
fn under_containerd(options: &Options, report: &mut Report) -> Result<()> {
    let containerd = Containerd::start(&options.folder)?;
    containerd.import(&options.folder.join("images"))?;
    match options.name {
        Name::Startup => startup::measure(&containerd, options, report),
        Name::Memory => memory::measure(options, report),
        Name::Limits => limits::measure(report),
        Name::Density => density::measure(options, report),
        Name::Lifecycle => lifecycle::measure(options, report),
        Name::Soak => soak::measure(options, report),
        Name::Compute => compute::measure(options, report),
        Name::Compose => compose::measure(&containerd, options, report),
        Name::Http => http::measure(options, report),
        Name::Kubernetes => kubernetes::measure(options, report),
    }
}
