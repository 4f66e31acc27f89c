//! The table of features: tries them, several at a time, and tells what each came to.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use testkit::cluster::{Cluster, Mode, Namespace};
use testkit::{Tally, tell};

/// How many are tried at a time: they wait for the cluster more than they compute.
const AT_A_TIME: usize = 8;

const MODES: [Mode; 2] = [Mode::Normal, Mode::Shared];

/// The width of a feature's name.
const NAME: usize = 67;

/// A feature and what shows it: in a namespace of its own, with pods of the namespace's mode.
#[derive(Clone, Copy)]
pub struct Feature {
    pub name: &'static str,
    pub test: fn(&Namespace<'_>) -> Result<()>,
}

/// A line of the table.
pub const fn feature(name: &'static str, test: fn(&Namespace<'_>) -> Result<()>) -> Feature {
    Feature { name, test }
}

/// What has been tried so far.
#[derive(Default)]
pub struct Table {
    names: Vec<&'static str>,
    seen: BTreeMap<(&'static str, Mode), (bool, Duration)>,
    tally: Tally,
}

impl Table {
    /// Tries features in both modes, beside each other.
    pub fn try_all(&mut self, cluster: &Cluster, features: &[Feature]) {
        let wanted = features.iter().copied().filter(|feature| testkit::wanted(feature.name));
        let jobs: Vec<_> = wanted.flat_map(|feature| MODES.map(|mode| (feature, mode))).collect();
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..AT_A_TIME.min(jobs.len()) {
                scope.spawn(|| {
                    while let Some(&(feature, mode)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let start = Instant::now();
                        let result = tried(cluster, feature, mode);
                        let took = start.elapsed();
                        tell(&format!(
                            "{} ({}) ... {}",
                            feature.name,
                            mode.name(),
                            verdict(result.is_ok(), took)
                        ));
                        if let Ok(mut results) = results.lock() {
                            results.push((feature.name, mode, result, took));
                        }
                    }
                });
            }
        });
        for (feature, _) in &jobs {
            self.line(feature.name);
        }
        for (name, mode, result, took) in results.into_inner().unwrap_or_default() {
            self.cell(name, mode, result, took);
        }
    }

    /// Adds a line.
    pub fn line(&mut self, name: &'static str) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// Adds what a feature came to in a mode.
    pub fn cell(&mut self, name: &'static str, mode: Mode, result: Result<()>, took: Duration) {
        self.line(name);
        self.seen.insert((name, mode), (result.is_ok(), took));
        self.check(&format!("{name} ({})", mode.name()), result);
    }

    /// Counts what is no line of the table.
    pub fn check(&mut self, what: &str, result: Result<()>) {
        match result {
            Ok(()) => self.tally.pass(),
            Err(error) => self.tally.fail(what, error),
        }
    }

    /// Waits until the namespaces of the features are gone: nothing stays Terminating.
    pub fn namespaces_go(&mut self, cluster: &Cluster) {
        let result = testkit::eventually("all namespaces of tests are gone", 90, || {
            std::thread::sleep(Duration::from_millis(100));
            let list = cluster.api().text("/api/v1/namespaces")?;
            Ok(!list.contains(&format!("\"name\":\"{PREFIX}")))
        });
        self.check("nothing stays Terminating", result);
    }

    pub fn has_failed(&self) -> bool {
        self.tally.failed() > 0
    }

    /// Prints it, every failure, and the sum.
    pub fn tell(self) -> ExitCode {
        println!("\n{:<NAME$} | {:<14} | shared", "", "normal");
        for name in &self.names {
            let [normal, shared] = MODES.map(|mode| match self.seen.get(&(*name, mode)) {
                Some(&(passed, took)) => verdict(passed, took),
                None => "-".to_owned(),
            });
            println!("{name:<NAME$} | {normal:<14} | {shared}");
        }
        self.tally.report()
    }
}

/// What the names of all namespaces of tests begin with.
const PREFIX: &str = "feature-";

/// The name of a namespace that nothing else has.
pub fn fresh_name(mode: Mode) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{PREFIX}{}-{}", COUNT.fetch_add(1, Ordering::Relaxed), mode.name())
}

fn tried(cluster: &Cluster, feature: Feature, mode: Mode) -> Result<()> {
    let namespace = cluster.namespace(&fresh_name(mode), mode)?;
    // An assertion is a failure of one feature among others.
    let test = std::panic::AssertUnwindSafe(|| (feature.test)(&namespace));
    let result = std::panic::catch_unwind(test).unwrap_or_else(|panic| Err(anyhow!(words(&*panic))));
    let described = result.is_err().then(|| namespace.described());
    let removed = namespace.remove();
    match (result, described) {
        (Err(error), Some(described)) => Err(anyhow!("{error:#}\n{described}")),
        (result, _) => result.and(removed),
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

fn verdict(passed: bool, took: Duration) -> String {
    format!("{} {:.1} s", if passed { "ok" } else { "FAILED" }, took.as_secs_f64())
}
