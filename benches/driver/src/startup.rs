//! `startup`: what a container takes from the command to its end, and from Create to its first byte.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::books::Books;
use crate::containerd::{Containerd, ctr};
use crate::options::Options;
use crate::peer::Peer;
use crate::report::Report;
use crate::sample::{Case, Sample, interleaved};
use crate::task_api;

/// Our compiled code.
const AOT_CACHE: &str = "/var/lib/run-wasm/aot";

/// A component of more than 10 MB.
const LARGE: &str = "hello-js";

pub fn measure(containerd: &Containerd, options: &Options, report: &mut Report) -> Result<()> {
    ctr_run(options, report)?;
    task(options, report)?;
    cold(containerd, options, report)
}

/// `ctr run --rm`, everything warm.
fn ctr_run(options: &Options, report: &mut Report) -> Result<()> {
    let mut cases = Vec::new();
    for peer in options.peers.iter().copied() {
        cases.push(case(peer.name().to_owned(), move |id| run(peer, "hello", id)));
        if matches!(peer, Peer::Normal | Peer::Shared | Peer::Runwasi) {
            cases.push(case(format!("large_{}", peer.name()), move |id| run(peer, LARGE, id)));
        }
    }
    record("ctr", &interleaved("ctr", options.runs, true, &mut cases)?, report);
    compare("ctr", &["runc", "crun", "runwasi"], report);
    report.ratio("startup.ctr.floor_vs_runc", "startup.ctr.floor_ms", "startup.ctr.runc_ms");
    let large = "startup.ctr.large_normal_ms";
    report.ratio("startup.ctr.large_normal_vs_hello_normal", large, "startup.ctr.normal_ms");
    report.ratio("startup.ctr.large_normal_vs_runwasi", large, "startup.ctr.large_runwasi_ms");
    let large = "startup.ctr.large_shared_ms";
    report.ratio("startup.ctr.large_shared_vs_hello_shared", large, "startup.ctr.shared_ms");
    report.ratio("startup.ctr.large_shared_vs_runwasi", large, "startup.ctr.large_runwasi_ms");
    Ok(())
}

/// The task API alone, from Create to the first byte.
fn task(options: &Options, report: &mut Report) -> Result<()> {
    let books = Books::open()?;
    let mut phases: BTreeMap<String, Sample> = BTreeMap::new();
    let log = RefCell::new(&mut phases);
    let mut cases = Vec::new();
    // crun has runc's shim: nothing new would be measured.
    for peer in options.peers.iter().copied().filter(|peer| *peer != Peer::Crun) {
        let (log, books, template) = (&log, &books, books.template(peer, "hello")?);
        cases.push(case(peer.name().to_owned(), move |id| {
            let times = task_api::run(books, &template, peer, id)?;
            for (phase, time) in [("shim", times.shim), ("create", times.create), ("delete", times.delete)] {
                log.borrow_mut().entry(format!("{}.{phase}", peer.name())).or_default().push(time);
            }
            Ok(times.first_byte)
        }));
    }
    let samples = interleaved("task", options.task_runs, true, &mut cases)?;
    drop(cases);
    record("task", &samples, report);
    for (name, sample) in samples.iter().filter(|(_, sample)| sample.len() > 0) {
        report.value(&format!("startup.task.{name}_p99_ms"), sample.quantile(0.99));
    }
    for (phase, sample) in &phases {
        report.sample(&format!("startup.task.{phase}_ms"), sample);
    }
    compare("task", &["runc", "runwasi"], report);
    Ok(())
}

/// Both our modes beside peers, and what the null shim would have reached.
fn compare(group: &str, peers: &[&str], report: &mut Report) {
    for ours in ["normal", "shared"] {
        for to in peers {
            let (name, to) = (format!("startup.{group}.{ours}_vs_{to}"), format!("startup.{group}.{to}_ms"));
            report.ratio(&name, &format!("startup.{group}.{ours}_ms"), &to);
            report.floor(&name, &format!("startup.{group}.floor_ms"), &to);
        }
    }
}

/// `ctr run --rm` of the large component when nobody has its code compiled.
fn cold(containerd: &Containerd, options: &Options, report: &mut Report) -> Result<()> {
    let peers = options.peers.iter().copied().filter(|peer| matches!(peer, Peer::Normal | Peer::Runwasi));
    let mut cases: Vec<_> = peers
        .map(|peer| {
            case(format!("large_{}", peer.name()), move |id| {
                forget(containerd, peer)?;
                run(peer, LARGE, id)
            })
        })
        .collect();
    record("cold", &interleaved("cold", options.cold_runs, false, &mut cases)?, report);
    let (ours, theirs) = ("startup.cold.large_normal_ms", "startup.cold.large_runwasi_ms");
    report.ratio("startup.cold.large_normal_vs_runwasi", ours, theirs);
    Ok(())
}

/// Empties our cache, and runwasi's: it keeps compiled code in containerd, bound to the image.
fn forget(containerd: &Containerd, peer: Peer) -> Result<()> {
    if Path::new(AOT_CACHE).exists() {
        for entry in fs::read_dir(AOT_CACHE)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
    }
    containerd.renew(&peer.image(LARGE), LARGE)
}

fn run(peer: Peer, program: &str, id: &str) -> Result<f64> {
    let image = peer.image(program);
    let args = ["run", "--rm"].into_iter().chain(peer.flags().iter().copied()).chain([image.as_str(), id]);
    let begin = Instant::now();
    let output = ctr(args)?;
    let took = begin.elapsed();
    ensure!(output.contains("hello"), "it printed {output:?} instead of its greeting");
    Ok(took.as_secs_f64() * 1e3)
}

fn case<'a>(name: String, run: impl FnMut(&str) -> Result<f64> + 'a) -> Case<'a> {
    Case { name, run: Box::new(run) }
}

fn record(group: &str, samples: &[(String, Sample)], report: &mut Report) {
    for (name, sample) in samples.iter().filter(|(_, sample)| sample.len() > 0) {
        report.sample(&format!("startup.{group}.{name}_ms"), sample);
    }
}
