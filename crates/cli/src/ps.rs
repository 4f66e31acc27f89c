//! `run-wasm ps`: what runs on this node, by the records that each shim keeps of its tasks.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;

use crate::output::{Output, age, cell, short, table};
use crate::records::{self, Record, STATE, now};
use crate::shims::Shims;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: Output,
    /// Where the shims keep their state.
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let mut shims = Shims::new()?;
        let records = records::sorted(&self.state)?;
        let records: Vec<Record> = records.into_iter().map(|record| record.judged(&mut shims)).collect();
        self.output.write(out, &records, |records| rows(records, now()))
    }
}

fn rows(records: &[Record], now: u64) -> String {
    let row = |record: &Record| {
        let pid = record.host.as_ref().map_or("-".into(), |host| host.pid.to_string());
        [
            cell(&record.namespace),
            short(&record.id),
            cell(record.pod.as_deref().unwrap_or_default()),
            cell(&record.mode),
            cell(&record.status),
            pid,
            age(now.saturating_sub(record.created)),
            cell(record.image.as_deref().unwrap_or_default()),
        ]
    };
    table(["NAMESPACE", "ID", "POD", "MODE", "STATUS", "PID", "AGE", "IMAGE"], records.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_task() {
        let record: Record = serde_json::from_value(serde_json::json!({
            "namespace": "k8s.io", "id": "0123456789abcdef".repeat(4), "pod": "default/hello", "mode": "normal",
            "status": "running", "created": 100, "shim_pid": 7, "host": {"pid": 42, "started": 1}, "image": "a/\u{1b}:1",
        }))
        .unwrap();
        let table = rows(&[record], 100 + 7200);
        let words: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            words,
            ["k8s.io", "0123456789abc", "default/hello", "normal", "running", "42", "2h", "a/\\u{1b}:1"]
        );
        assert!(table.starts_with("NAMESPACE  ID"));
    }
}
