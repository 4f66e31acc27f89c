//! `lifecycle`: whole lives of containers a second through the task API, and `ctr run --detach`, several at once.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::books::{Books, Template};
use crate::bundle::Bundle;
use crate::crowd::{Crowd, remove};
use crate::options::Options;
use crate::peer::Peer;
use crate::pool::each;
use crate::processes::Shims;
use crate::report::Report;
use crate::sample::{Case, Sample, interleaved};
use crate::shim::Shim;
use crate::task_api;

/// Clients of the task API.
pub const CLIENTS: usize = 4;

/// `ctr run` at a time.
const CTR_AT_ONCE: usize = 8;

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    task_api(options, report)?;
    ctr_run(options, report)
}

fn task_api(options: &Options, report: &mut Report) -> Result<()> {
    let books = Books::open()?;
    let mut cases = Vec::new();
    for peer in options.peers_of(&[Peer::Runc, Peer::Runwasi, Peer::Normal, Peer::Shared]) {
        let template = books.template(peer, "hello")?;
        // Code is compiled before several ask for it at once, which runwasi fails at.
        task_api::run(&books, &template, peer, &format!("first-{}", peer.name()))?;
        let lives = if peer.is_shared() { options.shared_lives } else { options.lives };
        let books = &books;
        let run = move |round: &str| lives_per_second(books, &template, peer, CLIENTS, lives, round);
        cases.push(Case { name: peer.name().to_owned(), run: Box::new(run) });
    }
    let samples = interleaved("lives", options.life_rounds, true, &mut cases)?;
    record(&samples, |name| format!("lifecycle.{name}_per_s"), report);
    for ours in ["shared", "normal"] {
        for to in ["runc", "runwasi"] {
            let (of, to_name) = (format!("lifecycle.{ours}_per_s"), format!("lifecycle.{to}_per_s"));
            report.ratio(&format!("lifecycle.{ours}_vs_{to}"), &of, &to_name);
        }
    }
    Ok(())
}

/// Create, start, exit, delete. What containerd does beside it (its books, the bundle, the mounts of a snapshot) is done
/// before and after.
pub fn lives_per_second(
    books: &Books,
    template: &Template,
    peer: Peer,
    clients: usize,
    lives: usize,
    round: &str,
) -> Result<f64> {
    let enter = |number| Bundle::make(books.enter(template, &format!("{round}-{number}"))?);
    let bundles = (0..lives).map(enter).collect::<Result<Vec<_>>>()?;
    let shims = Shims::to_come(peer)?;
    let clients = connections(peer, clients, bundles.first().context("no lives at all")?)?;
    let begin = Instant::now();
    each(&clients, &bundles, |client, bundle| match client {
        Some(manager) => live(manager, bundle),
        // Each pod needs a shim of its own, from its start to its shutdown.
        None => {
            let shim = Shim::start(peer, bundle)?;
            live(&shim, bundle)?;
            shim.shutdown(bundle.id());
            Ok(())
        }
    })
    .all()?;
    let took = begin.elapsed();
    shims.await_end()?;
    for bundle in &bundles {
        books.strike(&bundle.entry)?;
    }
    Ok(lives as f64 / took.as_secs_f64())
}

/// For each client, its connection to the one shim that serves all pods, if the peer has one.
fn connections(peer: Peer, clients: usize, first: &Bundle) -> Result<Vec<Option<Shim>>> {
    let manager = if peer.is_shared() { Some(Shim::start(peer, first)?) } else { None };
    (0..clients).map(|_| manager.as_ref().map(Shim::again).transpose()).collect()
}

fn live(shim: &Shim, bundle: &Bundle) -> Result<()> {
    shim.create(bundle)?;
    shim.start_task(bundle.id())?;
    bundle.first_output()?;
    let end = shim.wait(bundle.id())?;
    ensure!(end == 0, "{} ended with {end}", bundle.id());
    shim.delete(bundle.id())
}

/// What it takes until all of many `ctr run --detach` have come back.
fn ctr_run(options: &Options, report: &mut Report) -> Result<()> {
    let mut cases = Vec::new();
    for peer in options.peers_of(&[Peer::Runc, Peer::Runwasi, Peer::Normal, Peer::Shared, Peer::Floor]) {
        crowd(peer, options.ctr_lives, &format!("ctr8-{}", peer.name())).warm_up()?;
        let run = move |round: &str| ctr_seconds(&crowd(peer, options.ctr_lives, round));
        cases.push(Case { name: peer.name().to_owned(), run: Box::new(run) });
    }
    let samples = interleaved("ctr8", options.life_rounds, true, &mut cases)?;
    record(&samples, |name| format!("lifecycle.ctr8_{name}_s"), report);
    let runc = "lifecycle.ctr8_runc_s";
    for ours in ["shared", "normal"] {
        let name = format!("lifecycle.ctr8_{ours}_vs_runc");
        report.ratio(&name, &format!("lifecycle.ctr8_{ours}_s"), runc);
        report.floor(&name, "lifecycle.ctr8_floor_s", runc);
    }
    report.ratio("lifecycle.ctr8_floor_vs_runc", "lifecycle.ctr8_floor_s", runc);
    Ok(())
}

fn crowd(peer: Peer, containers: usize, name: &str) -> Crowd {
    Crowd {
        name: name.to_owned(),
        peer,
        program: "sleep",
        containers,
        at_once: CTR_AT_ONCE,
        serves_from: None,
    }
}

fn ctr_seconds(crowd: &Crowd) -> Result<f64> {
    let shims = Shims::to_come(crowd.peer)?;
    let begin = Instant::now();
    let ids = crowd.start().all()?;
    let took = begin.elapsed();
    remove(&ids)?;
    shims.await_end()?;
    Ok(took.as_secs_f64())
}

fn record(samples: &[(String, Sample)], metric: impl Fn(&str) -> String, report: &mut Report) {
    for (name, sample) in samples.iter().filter(|(_, sample)| sample.len() > 0) {
        report.sample(&metric(name), sample);
    }
}
