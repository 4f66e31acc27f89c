//! Debian 12's crun for a newer containerd: it refuses an `ociVersion` that it does not know, so at `create` the bundle's
//! config.json says an older one. Everything else is crun's, which this process becomes.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// The newest that crun 1.8 knows.
const KNOWN: &str = "1.0.2";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "create") {
        let bundle =
            args.iter().skip_while(|arg| *arg != "--bundle").nth(1).context("create without --bundle")?;
        adapt(&Path::new(bundle).join("config.json"))?;
    }
    Err(Command::new("crun").args(args).exec().into())
}

/// Replaces the version alone: to parse and write the whole spec would take time that is not crun's.
fn adapt(config: &Path) -> Result<()> {
    let text = std::fs::read_to_string(config)?;
    let (before, version) = text.split_once("\"ociVersion\":\"").context("config.json has no ociVersion")?;
    let (_, after) = version.split_once('"').context("config.json ends within ociVersion")?;
    Ok(std::fs::write(config, format!("{before}\"ociVersion\":\"{KNOWN}\"{after}"))?)
}
