//! kill -9 before each call that changes something. Whatever is run next, the node is in the old state or in the new one.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, ensure};

use crate::nest::{CURRENT, DROP_IN, Nest, succeed};
use crate::on_each_containerd;

on_each_containerd!(installing, uninstalling);

/// The system calls by which a run changes something, on disk or in containerd.
const CALLS: [&str; 11] = [
    "mkdir",
    "linkat",
    "symlink",
    "fsync",
    "rename",
    "unlink",
    "unlinkat",
    "chmod",
    "copy_file_range",
    "connect",
    "clone3",
];

fn installing(nest: &Nest) -> Result<()> {
    let binaries = nest.path("bin").display().to_string();
    killed_everywhere(
        "install",
        nest,
        &["install", "--binaries", &binaries],
        |_| Ok(()),
        |nest| {
            nest.uninstall()?;
            old(nest)?;
            // Programs stay while the task runs: the next install is to copy them again.
            nest.sh("rm -r /opt/run-wasm").map(drop)
        },
    )
}

fn uninstalling(nest: &Nest) -> Result<()> {
    let begin = |nest: &Nest| nest.install(&[]).map(drop);
    killed_everywhere("uninstall", nest, &["uninstall", "--force"], begin, |_| Ok(()))
}

/// Kills a run before each of its calls, one after the other, and has what is run next bring the node into a state.
fn killed_everywhere(
    what: &str,
    nest: &Nest,
    args: &[&str],
    begin: impl Fn(&Nest) -> Result<()>,
    end: impl Fn(&Nest) -> Result<()>,
) -> Result<()> {
    let witness = nest.witness()?;
    let (mut kills, mut ends) = (0, BTreeMap::<&str, u32>::new());
    for call in CALLS {
        for nth in 1.. {
            begin(nest)?;
            let run = nest.installer_killed_at(call, nth, args).output()?;
            let told = String::from_utf8_lossy(&run.stderr).into_owned();
            if run.status.success() {
                // It has made the call less often.
                end(nest)?;
                break;
            }
            ensure!(
                run.status.signal() == Some(9) || run.status.code() == Some(137),
                "{}: {told}",
                run.status
            );
            kills += 1;
            let state = recovered(nest, kills)
                .with_context(|| format!("{what} was killed at {call} {nth}: {told}"))?;
            *ends.entry(state).or_default() += 1;
            ensure!(nest.witness()? == witness, "the task is another one: {}", nest.witness()?);
            end(nest).with_context(|| format!("after {what} was killed at {call} {nth}"))?;
        }
    }
    ensure!(kills > 30, "{what} was killed {kills} times: it makes other calls than these by now");
    report(what, nest, kills, &ends);
    Ok(())
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
