//! `http`: how many requests a second a server answers, how long they take and what CPU they cost, beside `wasmtime serve` of the
//! same release and runwasi, on the same components with the same settings.

mod load;
mod server;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::options::Options;
use crate::peer::Peer;
use crate::report::Report;
use crate::sample::{Sample, geometric_mean};
use load::Load;
use server::{Server, Who};

/// Connections at once, each with one request at a time.
const CLIENTS: [u32; 3] = [1, 16, 256];

/// Those of the server whose neighbours do nothing.
const CLIENTS_AMONG_IDLE: u32 = 16;

/// Where the servers listen, from here on.
const FIRST_PORT: u16 = 21_000;

/// What is served, and how. Wasmtime's own defaults differ by the component: here everybody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub name: &'static str,
    pub program: &'static str,
    /// Requests of one instance, and how many of them at once.
    pub reuse: u32,
    pub at_once: u32,
}

const P2_FRESH: Kind = Kind { name: "p2_fresh", program: "serve", reuse: 1, at_once: 1 };
const P2_REUSE: Kind = Kind { name: "p2_reuse", program: "serve", reuse: 128, at_once: 1 };
const P3: Kind = Kind { name: "p3", program: "serve.p3", reuse: 128, at_once: 16 };

/// What was measured of one server under one load.
#[derive(Default)]
struct Samples {
    per_s: Sample,
    p50: Sample,
    p99: Sample,
    cpu: Sample,
}

impl Samples {
    fn push(&mut self, load: Load) {
        self.per_s.push(load.per_s);
        self.p50.push(load.p50);
        self.p99.push(load.p99);
        self.cpu.push(load.cpu);
    }

    fn report(&self, case: &str, report: &mut Report) {
        report.sample(&format!("http.{case}_per_s"), &self.per_s);
        report.sample(&format!("http.{case}_p50_us"), &self.p50);
        report.sample(&format!("http.{case}_p99_us"), &self.p99);
        report.sample(&format!("http.{case}_cpu_us"), &self.cpu);
    }
}

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    throughput(options, report)?;
    if options.peers.contains(&Peer::Shared) && options.idle_servers > 0 {
        among_idle(options, report)?;
    }
    Ok(())
}

/// Who answers which kind.
fn servers_of(kind: Kind, options: &Options) -> Vec<Who> {
    let ours = [Peer::Normal, Peer::Shared].map(Who::Runtime).into_iter();
    let all =
        ours.chain([Who::WasmtimeServe]).chain((kind == P2_FRESH).then_some(Who::Runtime(Peer::Runwasi)));
    all.filter(|who| {
        matches!(who, Who::Runtime(peer) if options.peers.contains(peer)) || *who == Who::WasmtimeServe
    })
    .collect()
}

fn throughput(options: &Options, report: &mut Report) -> Result<()> {
    let mut samples: BTreeMap<String, Samples> = BTreeMap::new();
    let mut ports = FIRST_PORT..;
    for kind in [P2_FRESH, P2_REUSE, P3] {
        let whos = servers_of(kind, options).into_iter().zip(&mut ports);
        let servers =
            whos.map(|(who, port)| Server::start(who, kind, port, options)).collect::<Result<Vec<_>>>()?;
        eprintln!("==> http: {}, {} servers, {} rounds", kind.name, servers.len(), options.http_rounds);
        // The first round fills caches and does not count.
        for round in 0..=options.http_rounds {
            for clients in CLIENTS {
                for place in 0..servers.len() {
                    let Some(server) = servers.get((place + round) % servers.len()) else { continue };
                    let load = load::put_on(server.port(), clients, options)?;
                    if round > 0 {
                        let case = format!("{}_{}_c{clients}", server.who().name(), kind.name);
                        samples.entry(case).or_default().push(load);
                    }
                }
            }
        }
        servers.into_iter().try_for_each(Server::stop)?;
    }
    for (case, samples) in &samples {
        samples.report(case, report);
    }
    compare("normal", "serve", &[P2_FRESH, P2_REUSE, P3], report);
    compare("shared", "serve", &[P2_FRESH, P2_REUSE, P3], report);
    compare("normal", "runwasi", &[P2_FRESH], report);
    compare("shared", "runwasi", &[P2_FRESH], report);
    Ok(())
}

/// The throughput of `ours` relative to `theirs`: each case, the least of them, and their geometric mean.
fn compare(ours: &str, theirs: &str, kinds: &[Kind], report: &mut Report) {
    let mut ratios = Vec::new();
    for kind in kinds {
        for clients in CLIENTS {
            let case = format!("{}_c{clients}", kind.name);
            let name = format!("http.{ours}_vs_{theirs}_{case}");
            report.ratio(&name, &format!("http.{ours}_{case}_per_s"), &format!("http.{theirs}_{case}_per_s"));
            ratios.extend(report.get(&name));
        }
    }
    if ratios.is_empty() {
        return;
    }
    let name = format!("http.{ours}_vs_{theirs}");
    report.value(&format!("{name}_geomean"), geometric_mean(&ratios));
    report.value(&name, ratios.into_iter().fold(f64::INFINITY, f64::min));
}

/// One busy server of shared mode, alone and among many that nobody asks for anything.
fn among_idle(options: &Options, report: &mut Report) -> Result<()> {
    let mut ports = FIRST_PORT + 1_000..;
    let mut start = |id: &str| {
        let port = ports.next().unwrap_or(u16::MAX);
        Server::named(id, Who::Runtime(Peer::Shared), P2_FRESH, port, options)
    };
    let busy = start("busy")?;
    let measure = || -> Result<Samples> {
        let mut samples = Samples::default();
        for round in 0..=options.http_rounds {
            let load = load::put_on(busy.port(), CLIENTS_AMONG_IDLE, options)?;
            if round > 0 {
                samples.push(load);
            }
        }
        Ok(samples)
    };
    eprintln!("==> http: one busy server of shared mode, alone and beside {}", options.idle_servers);
    measure()?.report("shared_alone", report);
    let idle = (0..options.idle_servers)
        .map(|number| start(&format!("idle-{number}")))
        .collect::<Result<Vec<_>>>()?;
    measure()?.report("shared_1000_idle", report);
    report.ratio(
        "http.shared_1000_idle_p99_ratio",
        "http.shared_1000_idle_p99_us",
        "http.shared_alone_p99_us",
    );
    idle.into_iter().chain([busy]).try_for_each(Server::stop)
}
