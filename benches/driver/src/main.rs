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
    let containerd = Containerd::start(&options.folder)?;
    containerd.import(&options.folder.join("images"))?;
    let mut report = Report::default();
    match options.name {
        Name::Startup => startup::measure(&containerd, &options, &mut report)?,
        Name::Memory => memory::measure(&options, &mut report)?,
        Name::Limits => limits::measure(&mut report)?,
        Name::Density => density::measure(&options, &mut report)?,
        Name::Lifecycle => lifecycle::measure(&options, &mut report)?,
        Name::Soak => soak::measure(&options, &mut report)?,
        Name::Compute => compute::measure(&options, &mut report)?,
        Name::Compose => compose::measure(&containerd, &options, &mut report)?,
        Name::Http => http::measure(&options, &mut report)?,
    }
    drop(containerd);
    print!("{}", report.table());
    if let Some(file) = &options.json {
        report.write(file)?;
    }
    Ok(())
}
