//! One container's life through the task API alone, timed.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::books::{Books, Template};
use crate::bundle::Bundle;
use crate::peer::Peer;
use crate::processes::Shims;
use crate::shim::Shim;

/// What the life of a container takes through the task API, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// `shim start`, until its address is there.
    pub shim: f64,
    /// From sending Create to its answer.
    pub create: f64,
    /// From sending Create to the first byte that the guest writes.
    pub first_byte: f64,
    /// From sending Delete to its answer.
    pub delete: f64,
}

/// Runs a container that is a real one in containerd's books, in a shim of its own or in the one that serves all.
pub fn run(books: &Books, template: &Template, peer: Peer, id: &str) -> Result<Times> {
    let bundle = Bundle::make(books.enter(template, id)?)?;
    let shims = Shims::to_come(peer)?;
    let begin = Instant::now();
    let shim = Shim::start(peer, &bundle)?;
    let started = milliseconds(begin);

    let begin = Instant::now();
    shim.create(&bundle)?;
    let create = milliseconds(begin);
    shim.start_task(id)?;
    bundle.first_output()?;
    let first_byte = milliseconds(begin);

    let end = shim.wait(id)?;
    ensure!(end == 0, "the guest ended with {end}");
    let begin = Instant::now();
    shim.delete(id)?;
    let delete = milliseconds(begin);
    shim.shutdown(id);
    shims.await_end()?;
    books.strike(&bundle.entry)?;
    Ok(Times { shim: started, create, first_byte, delete })
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
