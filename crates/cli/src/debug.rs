//! `run-wasm debug`: all that the node knows of one container at this moment.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::host::{self, Socket, Thread};
use crate::inspect::described;
use crate::output::{Output, cell, list, mib, table};
use crate::records::{self, Record, STATE};
use crate::shims::{Diagnosis, Shims, Usage};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The container's id, or the start of it.
    container: String,
    #[command(flatten)]
    output: Output,
    /// Where the shims keep their state.
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
}

/// What there is to see.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    record: Record,
    usage: Option<Usage>,
    #[serde(flatten)]
    diagnosis: Diagnosis,
    /// Of the host; in shared mode those of its containers are in other networks.
    sockets: Vec<Socket>,
    threads: Vec<Thread>,
    /// What could not be found out, and why.
    unknown: Vec<String>,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let mut shims = Shims::new()?;
        let record = records::find(&self.state, &self.container)?.judged(&mut shims);
        let mut unknown = Vec::new();
        let mut note = |what: &str, error: &anyhow::Error| unknown.push(format!("{what}: {error:#}"));
        let usage = shims.usage(&record).inspect_err(|error| note("usage", error)).ok();
        let diagnosis = shims.diagnosis(&record).inspect_err(|error| note("log and denied calls", error));
        // A pid that means another process by now says nothing.
        let host = record.host.as_ref().filter(|host| host::started(host.pid) == Some(host.started));
        let report = Report {
            usage,
            diagnosis: diagnosis.unwrap_or_default(),
            sockets: host.map(|host| host::sockets(host.pid)).unwrap_or_default(),
            threads: host.map(|host| host::threads(host.pid)).unwrap_or_default(),
            unknown,
            record,
        };
        self.output.write(out, &report, text)
    }
}

fn text(report: &Report) -> String {
    let mut rows = described(&report.record);
    if let Some(usage) = &report.usage {
        let limit = usage.memory_limit_bytes.map_or("no limit".to_owned(), mib);
        rows.push(("memory", format!("{} of {limit}", mib(usage.memory_bytes))));
        let seconds = usage.cpu_ns as f64 / 1e9;
        rows.push(("cpu", format!("{seconds:.3} s, throttled in {} periods", usage.throttled_periods)));
    }
    for (kind, count) in &report.diagnosis.denied {
        rows.push(("denied", format!("{}: at least {count} calls", cell(kind))));
    }
    for unknown in &report.unknown {
        rows.push(("unknown", cell(unknown)));
    }
    let sockets = table(
        ["TRANSPORT", "LOCAL", "REMOTE", "STATE"],
        report.sockets.iter().map(|socket| {
            [
                socket.transport.into(),
                socket.local.to_string(),
                socket.remote.to_string(),
                socket.state.into(),
            ]
        }),
    );
    let threads = table(
        ["THREAD", "NAME", "STATE", "TICKS", "WAITS IN"],
        report.threads.iter().map(|thread| {
            let Thread { id, name, state, cpu_ticks, waits_in } = thread;
            [id.to_string(), cell(name), cell(state), cpu_ticks.to_string(), cell(waits_in)]
        }),
    );
    // A shim has them in one line each, without anything that steers a terminal; a shim may be of another release.
    let lines: String = report
        .diagnosis
        .lines
        .iter()
        .map(|line| format!("{}\n", line.replace(char::is_control, " ")))
        .collect();
    format!("{}\nlog:\n{lines}\nsockets:\n{sockets}\nthreads of the host:\n{threads}", list(&rows))
}
