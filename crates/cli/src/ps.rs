//! `run-wasm ps`: what runs on this node, by the records that each shim keeps of its tasks.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::records::{self, Record, STATE};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
    /// Where the shims keep their state.
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let mut records: Vec<Record> =
            records::all(&self.state)?.into_iter().map(|record| record.judged(started)).collect();
        records.sort_by(|a, b| {
            (&a.namespace, &a.pod, a.created, &a.id).cmp(&(&b.namespace, &b.pod, b.created, &b.id))
        });
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &records)?;
            return Ok(writeln!(out)?);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Ok(out.write_all(table(&records, now).as_bytes())?)
    }
}

impl Record {
    /// Settles the status. `started` answers when the process of a pid was started, if there is one.
    fn judged(mut self, started: impl Fn(u32) -> Option<u64>) -> Record {
        let word = match &self.host {
            // Nobody keeps the record true any more.
            _ if started(self.shim_pid).is_none() => "stale",
            _ if !self.status.is_empty() => return self,
            None => "sandbox",
            Some(host) if started(host.pid) == Some(host.started) => "running",
            Some(_) => "stopped",
        };
        self.status = word.into();
        self
    }
}

/// When a process was started, in the kernel's clock ticks; `None` for one that is gone.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in field 2 may hold anything, parentheses included; what follows the last one is regular.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn table(records: &[Record], now: u64) -> String {
    const HEADER: [&str; 8] = ["NAMESPACE", "ID", "POD", "MODE", "STATUS", "PID", "AGE", "IMAGE"];
    let mut rows: Vec<[String; 8]> = vec![HEADER.map(String::from)];
    rows.extend(records.iter().map(|record| row(record, now)));
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let line: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(record: &Record, now: u64) -> [String; 8] {
    // Kubernetes' ids are 64 hexadecimal digits, of which crictl, too, shows 13.
    let is_digest = record.id.len() == 64 && record.id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = if is_digest { record.id.chars().take(13).collect() } else { cell(&record.id) };
    let pid = record.host.as_ref().map_or("-".into(), |host| host.pid.to_string());
    [
        cell(&record.namespace),
        id,
        cell(record.pod.as_deref().unwrap_or_default()),
        cell(&record.mode),
        cell(&record.status),
        pid,
        age(now.saturating_sub(record.created)),
        cell(record.image.as_deref().unwrap_or_default()),
    ]
}

/// Something to see in each column, and nothing that steers a terminal.
fn cell(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.escape_debug().to_string() }
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: serde_json::Value) -> Record {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_record_of_another_release_is_read() {
        let read = record(
            serde_json::json!({"namespace": "default", "id": "a", "shim_pid": 7, "surprise": {"x": 1}}),
        );
        assert_eq!((read.id.as_str(), read.status.as_str(), read.host), ("a", "", None));
    }

    #[test]
    fn a_record_whose_shim_is_gone_is_stale() {
        let of =
            || record(serde_json::json!({"namespace": "n", "id": "a", "shim_pid": 7, "status": "paused"}));
        assert_eq!(of().judged(|pid| (pid == 7).then_some(1)).status, "paused");
        assert_eq!(of().judged(|_| None).status, "stale");
    }

    #[test]
    fn a_status_that_the_shim_does_not_tell_is_seen_by_what_lives() {
        let of = |host| record(serde_json::json!({"namespace": "n", "id": "a", "shim_pid": 7, "host": host}));
        let host = || serde_json::json!({"pid": 8, "started": 50});
        let status = |record: Record, living: &[(u32, u64)]| {
            record.judged(|pid| living.iter().find(|(p, _)| *p == pid).map(|(_, at)| *at)).status
        };
        assert_eq!(status(of(serde_json::Value::Null), &[(7, 1)]), "sandbox");
        assert_eq!(status(of(host()), &[(7, 1), (8, 50)]), "running");
        assert_eq!(status(of(host()), &[(7, 1)]), "stopped");
        assert_eq!(status(of(host()), &[(7, 1), (8, 51)]), "stopped", "the pid is another process by now");
    }

    #[test]
    fn the_start_of_a_process_is_read() {
        assert!(started(std::process::id()).is_some());
        assert_eq!(started(u32::MAX), None);
    }

    #[test]
    fn the_table_has_a_line_for_each_task() {
        let records = [record(serde_json::json!({
            "namespace": "k8s.io", "id": "0123456789abcdef".repeat(4), "pod": "default/hello", "mode": "normal",
            "status": "running", "created": 100, "shim_pid": 7, "host": {"pid": 42, "started": 1}, "image": "a/\u{1b}:1",
        }))];
        let table = table(&records, 100 + 7200);
        let words: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            words,
            ["k8s.io", "0123456789abc", "default/hello", "normal", "running", "42", "2h", "a/\\u{1b}:1"]
        );
        assert!(table.starts_with("NAMESPACE  ID"));
    }

    #[test]
    fn ages_are_short() {
        let ages: Vec<String> = [0, 59, 60, 3600, 100_000, 200_000].into_iter().map(age).collect();
        assert_eq!(ages, ["0s", "59s", "1m", "1h", "27h", "2d"]);
    }
}
