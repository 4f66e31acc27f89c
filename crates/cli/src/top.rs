//! `run-wasm top`: what the containers of this node use, by their shims' own figures.

use std::io::Write;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::output::{Output, cell, mib, short, table};
use crate::records::{self, Record, STATE};
use crate::shims::{Shims, Usage};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Output,
    /// For how many seconds CPU is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    interval: f64,
    /// Where the shims keep their state.
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
}

/// A container, and what it uses.
#[derive(Debug, Serialize)]
struct Row {
    namespace: String,
    id: String,
    pod: Option<String>,
    mode: String,
    /// Of one processor, during the interval.
    cpu_percent: f64,
    #[serde(flatten)]
    usage: Usage,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        ensure!(
            self.interval.is_finite() && (0.01..=3600.0).contains(&self.interval),
            "--interval is a number of seconds between 0.01 and 3600"
        );
        let mut shims = Shims::new()?;
        let mut before = Vec::new();
        for record in records::sorted(&self.state)?.into_iter().filter(|record| record.host.is_some()) {
            // One that has just gone is not told of.
            if let Ok(usage) = shims.usage(&record) {
                before.push((record, Instant::now(), usage));
            }
        }
        sleep(Duration::from_secs_f64(self.interval));
        let mut rows: Vec<Row> = before
            .into_iter()
            .filter_map(|(record, since, before)| {
                let usage = shims.usage(&record).ok()?;
                Some(Row::new(record, usage, before, since.elapsed()))
            })
            .collect();
        rows.sort_by(|a, b| b.cpu_percent.total_cmp(&a.cpu_percent));
        self.output.write(out, &rows, |rows| text(rows))
    }
}

impl Row {
    fn new(record: Record, usage: Usage, before: Usage, elapsed: Duration) -> Row {
        let used = usage.cpu_ns.saturating_sub(before.cpu_ns);
        let cpu_percent = used as f64 / elapsed.as_nanos().max(1) as f64 * 100.0;
        let Record { namespace, id, pod, mode, .. } = record;
        Row { namespace, id, pod, mode, cpu_percent, usage }
    }
}

fn text(rows: &[Row]) -> String {
    let row = |row: &Row| {
        [
            cell(&row.namespace),
            short(&row.id),
            cell(row.pod.as_deref().unwrap_or_default()),
            cell(&row.mode),
            format!("{:.1}%", row.cpu_percent),
            mib(row.usage.memory_bytes),
            row.usage.memory_limit_bytes.map_or("-".to_owned(), mib),
            row.usage.throttled_periods.to_string(),
        ]
    };
    table(["NAMESPACE", "ID", "POD", "MODE", "CPU", "MEMORY", "LIMIT", "THROTTLED"], rows.iter().map(row))
}
