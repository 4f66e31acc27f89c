//! kill -9 before each call that changes something. Whatever is run next, the node is in the old state or in the new one.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, bail, ensure};

use crate::nest::{CURRENT, DROP_IN, Nest, succeed};
use crate::on_each_containerd;

on_each_containerd!(installing, uninstalling);

/// More calls than any run makes.
const ENDLESS: u32 = 1000;

fn installing(nest: &Nest) -> Result<()> {
    let witness = nest.witness()?;
    let binaries = nest.path("bin").display().to_string();
    let mut ends = BTreeMap::<&str, u32>::new();
    for call in 1..ENDLESS {
        let killed = nest.installer_killed_at(call, &["install", "--binaries", &binaries]).output()?;
        let told = String::from_utf8_lossy(&killed.stderr).into_owned();
        if killed.status.success() {
            ensure!(nest.verify()?.is_empty());
            report("install", nest, call - 1, &ends);
            return Ok(());
        }
        ensure!(
            killed.status.signal() == Some(9) || killed.status.code() == Some(137),
            "{}: {told}",
            killed.status
        );
        let end =
            recovered(nest, call).with_context(|| format!("install was killed at call {call}: {told}"))?;
        *ends.entry(end).or_default() += 1;
        ensure!(nest.witness()? == witness, "the task is another one: {}", nest.witness()?);
        nest.uninstall()?;
        old(nest).with_context(|| format!("uninstalled after call {call}"))?;
        // Programs stay while the task runs: the next install is to copy them again.
        nest.sh("rm -r /opt/run-wasm")?;
    }
    bail!("install never ends")
}

fn uninstalling(nest: &Nest) -> Result<()> {
    let witness = nest.witness()?;
    let mut ends = BTreeMap::<&str, u32>::new();
    for call in 1..ENDLESS {
        nest.install(&[])?;
        let killed = nest.installer_killed_at(call, &["uninstall", "--force"]).output()?;
        let told = String::from_utf8_lossy(&killed.stderr).into_owned();
        if killed.status.success() {
            old(nest)?;
            report("uninstall", nest, call - 1, &ends);
            return Ok(());
        }
        ensure!(
            killed.status.signal() == Some(9) || killed.status.code() == Some(137),
            "{}: {told}",
            killed.status
        );
        let end =
            recovered(nest, call).with_context(|| format!("uninstall was killed at call {call}: {told}"))?;
        *ends.entry(end).or_default() += 1;
        ensure!(nest.witness()? == witness, "the task is another one: {}", nest.witness()?);
    }
    bail!("uninstall never ends")
}

/// Runs what a person or an agent would run next, each in its turn, and says in which state the node is.
fn recovered(nest: &Nest, turn: u32) -> Result<&'static str> {
    match turn % 3 {
        0 => {
            nest.install(&[]).context("the next install")?;
            new(nest)?;
            Ok("new by install")
        }
        1 => {
            nest.uninstall().context("the next uninstall")?;
            old(nest)?;
            Ok("old by uninstall")
        }
        _ => {
            // On a node that is back in its old state there is nothing to repair, which it says.
            let repair = succeed(nest.installer(&["verify", "--repair"]));
            match repair {
                Ok(_) => new(nest).map(|()| "new by repair"),
                Err(why) if format!("{why:#}").contains("is not installed") => {
                    old(nest).map(|()| "old by repair")
                }
                Err(why) => Err(why.context("the next repair")),
            }
        }
    }
}

fn old(nest: &Nest) -> Result<()> {
    ensure!(nest.config()? == nest.version.config, "the config is another: {}", nest.config()?);
    ensure!(!nest.is_there(DROP_IN), "the drop-in is there");
    ensure!(!nest.knows_us()?, "containerd knows the handlers");
    nothing_left(nest)
}

fn new(nest: &Nest) -> Result<()> {
    let told = nest.verify()?;
    ensure!(told.is_empty(), "{told}");
    ensure!(nest.is_there(CURRENT) && nest.knows_us()?);
    nothing_left(nest)
}

fn nothing_left(nest: &Nest) -> Result<()> {
    let left = nest.leftovers()?;
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}

fn report(what: &str, nest: &Nest, kills: u32, ends: &BTreeMap<&str, u32>) {
    let ends: Vec<String> = ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
    let version = if nest.version.config.contains("version = 2") { "1.7" } else { "2.1" };
    println!(
        "containerd {version}: {what} was killed {kills} times: {}; {} restarts, the task lives",
        ends.join(", "),
        nest.restarts()
    );
}
