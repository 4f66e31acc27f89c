//! How many containers one manager holds at once: through the task API alone, where containerd has no part in the number.
//!
//! Each is a container in containerd's books with a snapshot and a spec of its own, as the manager finds any other. Two
//! things are left out: containerd's own task, and the streams (as with `ctr run --null-io`), whose descriptors would
//! reach the hard limit of open files on many machines long before the manager reaches its own.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::books::Books;
use crate::bundle::Bundle;
use crate::footprint::Baseline;
use crate::options::Options;
use crate::peer::Peer;
use crate::pool::each;
use crate::processes::kill_server;
use crate::report::Report;
use crate::shim::Shim;

const CLIENTS: usize = 4;

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    eprintln!("==> density: {} containers entered in containerd's books", options.direct_count);
    let books = Books::open()?;
    let template = books.template(Peer::Shared, "sleep")?;
    let enter = |number| Bundle::silent(books.enter(&template, &format!("direct-{number}"))?);
    let bundles = (0..options.direct_count).map(enter).collect::<Result<Vec<_>>>()?;
    kill_server(Peer::Shared)?;
    let baseline = Baseline::take()?;

    eprintln!("==> density: started through the task API");
    let first = bundles.first().context("density of no container at all")?;
    let manager = Shim::start(Peer::Shared, first)?;
    let clients = (0..CLIENTS).map(|_| manager.again()).collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    let started = each(&clients, &bundles, |client, bundle| {
        client.create(bundle)?;
        client.start_task(bundle.id())?;
        Ok(bundle)
    });
    let took = begin.elapsed();
    if let Some(error) = &started.refused {
        eprintln!("==> direct: no more than {} of {}: {error:#}", started.results.len(), bundles.len());
    }
    let footprint = baseline.grown()?;
    let states = each(&clients, &started.results, |client, bundle| client.is_running(bundle.id())).all()?;
    let alive = states.into_iter().filter(|running| *running).count();
    ensure!(alive > 0, "not one container is alive");
    report.value("density.direct_n", alive as f64);
    report.value("density.direct_kib_per_container", (footprint.pss + footprint.kernel) / alive as f64);
    report.value("density.direct_pss_kib", footprint.pss / alive as f64);
    report.value("density.direct_kernel_kib", footprint.kernel / alive as f64);
    report.value("density.direct_starts_per_s", started.results.len() as f64 / took.as_secs_f64());

    each(&clients, &started.results, |client, bundle| {
        client.kill(bundle.id())?;
        client.wait(bundle.id())?;
        client.delete(bundle.id())
    })
    .all()?;
    kill_server(Peer::Shared)
}
