//! The result: metrics by name, as a table for people and a flat JSON object for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::sample::Sample;
use crate::targets::{Target, target};

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
            let verdict = self.verdict(name, metric.value);
            let notes: Vec<_> =
                [metric.note.clone()].into_iter().filter(|note| !note.is_empty()).chain(verdict).collect();
            let line = format!("{name:<46} {:>9.3}  {}", metric.value, notes.join("; "));
            // Writing to a String cannot fail.
            let _ = writeln!(table, "{}", line.trim_end());
        }
        table
    }

    fn verdict(&self, name: &str, value: f64) -> Option<String> {
        let verdict = |met: bool| if met { "met" } else { "MISSED" };
        Some(match (target(name)?, self.floors.get(name).map(|floor| floor * ABOVE_THE_FLOOR)) {
            (Target::AtLeast(least), _) => format!("target >= {least}, {}", verdict(value >= least)),
            (Target::AtMost(most), Some(reachable)) if reachable > most => format!(
                "target <= {most} is below the floor + 10 %: {reachable:.3} stands in its place, {}",
                verdict(value <= reachable)
            ),
            (Target::AtMost(most), _) => format!("target <= {most}, {}", verdict(value <= most)),
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
    fn some_metrics_have_to_be_high() {
        let mut report = Report::default();
        report.value("lifecycle.shared_vs_runc", 19.0);
        assert!(report.table().contains("target >= 20, MISSED"));
    }

    #[test]
    fn a_ratio_to_what_was_not_measured_is_left_out() {
        let mut report = Report::default();
        report.value("normal", 1.0);
        report.ratio("r", "normal", "runwasi");
        assert_eq!(report.get("r"), None);
    }
}
