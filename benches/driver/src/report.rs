//! The result: metrics by name, as a table for people and a flat JSON object for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::sample::Sample;

/// What the project promises: a metric and the most it may be.
const TARGETS: [(&str, f64); 11] = [
    ("startup.ctr.normal_vs_runc", 0.52),
    ("startup.ctr.normal_vs_runwasi", 0.68),
    ("startup.ctr.large_normal_vs_hello_normal", 1.15),
    ("startup.task.normal_vs_runwasi", 0.20),
    ("startup.cold.large_normal_vs_runwasi", 1.10),
    ("memory.normal_vs_runc", 0.45),
    ("memory.normal_vs_runwasi", 0.45),
    ("memory.large_normal_vs_runwasi", 0.15),
    ("limits.cpu_quota_error", 0.10),
    ("limits.weight_error", 0.15),
    ("limits.memory_overshoot", 0.05),
];

/// A target below what the null shim reaches, plus this part of it, is out of anyone's reach.
const ABOVE_THE_FLOOR: f64 = 1.1;

/// One line of the table.
#[derive(Debug)]
struct Metric {
    value: f64,
    note: String,
}

#[derive(Debug, Default)]
pub struct Report {
    metrics: BTreeMap<String, Metric>,
    floors: BTreeMap<String, f64>,
}

impl Report {
    /// A median, with its noise beside it.
    pub fn sample(&mut self, name: &str, sample: &Sample) {
        let (low, high) = (sample.quantile(0.05), sample.quantile(0.95));
        self.put(name, sample.median(), format!("p5 {low:.2}, p95 {high:.2}, n {}", sample.len()));
    }

    pub fn value(&mut self, name: &str, value: f64) {
        self.put(name, value, String::new());
    }

    /// The ratio of two metrics, when both were measured.
    pub fn ratio(&mut self, name: &str, of: &str, to: &str) {
        if let (Some(of), Some(to)) = (self.get(of), self.get(to)) {
            self.value(name, of / to);
        }
    }

    /// The least that a ratio can be: the same ratio, had the null shim been measured in our place.
    pub fn floor(&mut self, name: &str, of: &str, to: &str) {
        if let (Some(of), Some(to)) = (self.get(of), self.get(to)) {
            self.floors.insert(name.to_owned(), of / to);
        }
    }

    fn put(&mut self, name: &str, value: f64, note: String) {
        self.metrics.insert(name.to_owned(), Metric { value, note });
    }

    pub fn get(&self, name: &str) -> Option<f64> {
        self.metrics.get(name).map(|metric| metric.value)
    }

    /// Three columns: name, value, what is to be said about it.
    pub fn table(&self) -> String {
        let mut table = String::new();
        for (name, metric) in &self.metrics {
            let note = self.verdict(name, metric.value).unwrap_or_else(|| metric.note.clone());
            let line = format!("{name:<46} {:>9.3}  {note}", metric.value);
            // Writing to a String cannot fail.
            let _ = writeln!(table, "{}", line.trim_end());
        }
        table
    }

    fn verdict(&self, name: &str, value: f64) -> Option<String> {
        let (_, target) = TARGETS.iter().find(|(target, _)| *target == name)?;
        let reachable =
            self.floors.get(name).map(|floor| floor * ABOVE_THE_FLOOR).filter(|least| least > target);
        let most = reachable.unwrap_or(*target);
        let met = if value <= most { "met" } else { "MISSED" };
        Some(match reachable {
            Some(least) => {
                format!("target {target} is below the floor + 10 %: {least:.3} stands in its place, {met}")
            }
            None => format!("target {target}, {met}"),
        })
    }

    /// Writes `{"metric.name": number}`.
    pub fn write(&self, file: &Path) -> Result<()> {
        let metrics: BTreeMap<_, _> =
            self.metrics.iter().map(|(name, metric)| (name, metric.value)).collect();
        let text = serde_json::to_string_pretty(&metrics)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn a_target_below_the_floor_gives_way_to_the_floor_and_a_tenth() {
        let mut report = Report::default();
        for (name, value) in [("floor", 60.0), ("normal", 65.0), ("runc", 100.0)] {
            report.value(name, value);
        }
        report.ratio("startup.ctr.normal_vs_runc", "normal", "runc");
        report.floor("startup.ctr.normal_vs_runc", "floor", "runc");
        assert!(report.table().contains("0.660 stands in its place, met"));
    }

    #[test]
    fn a_ratio_to_what_was_not_measured_is_left_out() {
        let mut report = Report::default();
        report.value("normal", 1.0);
        report.ratio("r", "normal", "runwasi");
        assert_eq!(report.get("r"), None);
    }
}
