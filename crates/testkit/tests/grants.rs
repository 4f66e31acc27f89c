//! The table of grants (docs/grants.md), cell by cell: what a guest sees that was granted a thing, and what one sees that
//! was not. Every cell is a real guest under containerd 2.1; what differs between containerds is the `containerd` stage's.
//!
//! A row is a constant in one of the modules below; a column is an entry of [`COLUMNS`].

#[path = "grants/files.rs"]
mod files;
#[path = "grants/limits.rs"]
mod limits;
#[path = "grants/modes.rs"]
mod modes;
#[path = "grants/network.rs"]
mod network;
#[path = "grants/process.rs"]
mod process;
#[path = "grants/profile.rs"]
mod profile;
#[path = "grants/row.rs"]
mod row;

use std::process::ExitCode;

use anyhow::Result;
use testkit::{Containerd, Tally, Version, Wasi};

use row::Row;

/// The columns of the table.
const COLUMNS: [Wasi; 3] = [Wasi::P1, Wasi::P2, Wasi::P3];

/// The lines of the table, in the order of the documentation.
const ROWS: [Row; 16] = [
    process::ARGS,
    process::ENV,
    files::ROOT,
    files::VOLUMES,
    network::PORTS,
    network::EGRESS,
    network::NAMES,
    limits::MEMORY,
    limits::CPU,
    process::USER,
    profile::TIMEOUT,
    profile::PROFILE,
    profile::CLOCK,
    profile::RANDOM,
    modes::PLUG,
    modes::MODE,
];

fn main() -> Result<ExitCode> {
    let daemon = Containerd::start(Version::V2_1)?;
    let mut tally = Tally::default();
    println!("{}", row::header(&COLUMNS));
    for row in ROWS.iter().filter(|row| testkit::wanted(row.grant)) {
        println!("{}", row.tell(&daemon, &COLUMNS, &mut tally));
    }
    if let Err(left) = daemon.nest().assert_clean() {
        tally.fail("to leave nothing behind", left);
    }
    if tally.failed() > 0 {
        println!("\ncontainerd's log:\n{}", daemon.log_end());
    }
    Ok(tally.report())
}
