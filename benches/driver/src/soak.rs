//! `soak`: what one manager and its hosts hold after tens of thousands of lives, beside what they held after the first.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::books::Books;
use crate::footprint::{field, pss};
use crate::lifecycle::{CLIENTS, lives_per_second};
use crate::options::Options;
use crate::peer::Peer;
use crate::processes::running;
use crate::report::Report;

/// Until what is given back is given back; threads that wait for work in vain end after 10 s.
const REST: Duration = Duration::from_secs(15);

/// A host keeps the places of as many guests as ever ran at once, each with its mappings. The first lives have more clients than all
/// later ones: what grows after them grows with the lives.
const FIRST_CLIENTS: usize = 16;

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let books = Books::open()?;
    let template = books.template(Peer::Shared, "hello")?;
    let lives = |round: usize, clients| {
        let name = format!("soak-{round}");
        lives_per_second(&books, &template, Peer::Shared, clients, options.soak_lives, &name)
    };
    lives(0, FIRST_CLIENTS)?;
    let first = Held::now()?;
    let rates = (1..options.soak_rounds).map(|round| lives(round, CLIENTS)).collect::<Result<Vec<_>>>()?;
    let last = Held::now()?;
    ensure!(
        first.processes.is_subset(&last.processes),
        "the manager, or a host of its, did not live through it"
    );
    report.value("soak.lives", (options.soak_lives * options.soak_rounds) as f64);
    if let Some(rate) = rates.last() {
        report.value("soak.last_per_s", *rate);
    }
    report.value("soak.pss_kib_first", first.pss);
    report.value("soak.pss_kib_last", last.pss);
    report.value("soak.pss_growth", last.pss / first.pss - 1.0);
    for (name, of) in
        [("fds", Held::fds as fn(&Held) -> f64), ("maps", Held::maps), ("threads", Held::threads)]
    {
        report.value(&format!("soak.{name}_first"), of(&first));
        report.value(&format!("soak.{name}_last"), of(&last));
        report.value(&format!("soak.{name}_growth"), of(&last) - of(&first));
    }
    Ok(())
}

/// What the manager and its hosts hold, in all.
struct Held {
    processes: BTreeSet<u32>,
    /// KiB.
    pss: f64,
    fds: usize,
    maps: usize,
    threads: f64,
}

impl Held {
    fn now() -> Result<Held> {
        std::thread::sleep(REST);
        let processes = running(Peer::Shared)?;
        let mut held = Held { processes, pss: 0.0, fds: 0, maps: 0, threads: 0.0 };
        for pid in &held.processes {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            held.pss += pss(*pid);
            held.fds += fs::read_dir(format!("/proc/{pid}/fd"))?.count();
            held.maps += fs::read_to_string(format!("/proc/{pid}/maps"))?.lines().count();
            held.threads += field(&status, "Threads").unwrap_or(0.0);
        }
        Ok(held)
    }

    fn fds(&self) -> f64 {
        self.fds as f64
    }

    fn maps(&self) -> f64 {
        self.maps as f64
    }

    fn threads(&self) -> f64 {
        self.threads
    }
}
