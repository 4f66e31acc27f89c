//! Chaos: many clients do everything with their containers, in any order, while whatever can fail does. A model knows what each
//! answer has to be; at the end no task is lost or doubled, and nothing is left.
//!
//! `CHAOS_SEED` (a number, printed) replays the same decisions, `CHAOS_SECONDS` (30) is how long each storm lasts.

#[path = "chaos/client.rs"]
mod client;
#[path = "chaos/faults.rs"]
mod faults;
#[path = "chaos/ledger.rs"]
mod ledger;

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use testkit::{Containerd, eventually, mode, tell};

use client::Client;
use faults::Injector;
use ledger::Ledger;

const CLIENTS: u64 = 8;

/// The nest's `/run` is as small as a disk that a test may fill.
const RUN: &str = "remount,size=64m";

fn number(variable: &str) -> Result<Option<u64>> {
    let value = std::env::var(variable).ok();
    value.map(|value| value.parse().with_context(|| format!("{variable} is no number: {value}"))).transpose()
}

fn seed() -> Result<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    Ok(number("CHAOS_SEED")?.unwrap_or(now))
}

fn storm(daemon: &Containerd, seed: u64) -> Result<Ledger> {
    let remount = daemon.nest().command("mount").args(["-o", RUN, "/run"]).status()?;
    ensure!(remount.success(), "cannot make /run small");
    let crowd = daemon.run("sleep.wasm").crowd()?;
    let end = Instant::now() + Duration::from_secs(number("CHAOS_SECONDS")?.unwrap_or(30));
    let ledger = Ledger::default();
    std::thread::scope(|scope| {
        let ledger = &ledger;
        let injector = scope.spawn(move || {
            let mut injector = Injector::new(daemon, ledger, seed);
            while Instant::now() < end {
                injector.strike()?;
            }
            injector.stop()
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let mut client = Client::new(&crowd, ledger, seed, number)?;
                Ok(scope.spawn(move || {
                    let mut result = Ok(());
                    while result.is_ok() && Instant::now() < end {
                        result = client.call();
                    }
                    (client, result)
                }))
            })
            .collect::<Result<_>>()?;
        let clients: Vec<_> = clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked")))
            .collect();
        injector.join().map_err(|_| anyhow::anyhow!("the injector panicked"))??;
        // From here on all is well again.
        eventually("containerd answers", 60, || Ok(crowd.caller()?.tasks().is_ok()))?;
        for client in clients {
            let (mut client, result) = client?;
            let cleared = client.clear();
            result?;
            cleared?;
        }
        anyhow::Ok(())
    })?;
    let left = crowd.caller()?.tasks()?;
    ensure!(left.is_empty(), "tasks that nobody knows: {left:?}");
    Ok(ledger)
}

/// Prints what the log has of the containers that a message names.
fn history(daemon: &Containerd, message: &str) {
    let is_id = |word: &&str| word.starts_with("chaos-");
    let words = message.split(|char: char| !char.is_ascii_alphanumeric() && char != '-');
    let ids: std::collections::BTreeSet<&str> = words.filter(is_id).collect();
    for line in daemon.log().lines().filter(|line| ids.iter().any(|id| line.contains(id))) {
        eprintln!("{line}");
    }
}

testkit::stories! {
    fn whatever_fails_every_answer_is_right_and_nothing_is_left(daemon) {
        let seed = seed()?;
        let which = format!("{:?}, {}", daemon.version(), if mode::is_shared() { "shared" } else { "normal" });
        tell(&format!("{which}: CHAOS_SEED={seed}"));
        let ledger = storm(daemon, seed).with_context(|| format!("CHAOS_SEED={seed}"));
        let ledger = ledger.inspect_err(|error| history(daemon, &format!("{error:#}")))?;
        tell(&format!("{which}: {ledger}"));
        let violations = ledger.violations().join("\n");
        history(daemon, &violations);
        ensure!(violations.is_empty(), "{violations}");
    }
}
