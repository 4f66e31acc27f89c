//! A line of the table: a grant, a guest that has it, a guest that has it not.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use testkit::{Containerd, Run, Tally, Wasi};

/// A line of the table.
pub struct Row {
    /// As in the table of docs/grants.md.
    pub grant: &'static str,
    /// Where it applies: preview 1 has no sockets.
    pub on: &'static [Wasi],
    pub granted: Cell,
    pub not_granted: Cell,
}

/// Runs a guest or two and says what was seen, in a few words that are the same every time; fails if that is not right.
pub type Cell = fn(&Place<'_>) -> Result<String>;

/// Every form that a guest comes in.
pub const ALL: &[Wasi] = &[Wasi::P1, Wasi::P2, Wasi::P3];
/// Those that have sockets and HTTP.
pub const NETWORKED: &[Wasi] = &[Wasi::P2, Wasi::P3];

/// Where a cell runs its guests.
pub struct Place<'a> {
    pub daemon: &'a Containerd,
    pub wasi: Wasi,
}

impl<'a> Place<'a> {
    /// A run of a guest of test-images in the column's form.
    pub fn run(&self, guest: &str) -> Run<'a> {
        self.daemon.run(&self.wasi.file(guest))
    }

    /// An empty folder of the cell's own.
    pub fn folder(&self) -> Result<PathBuf> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cell-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = self.daemon.nest().folder().join(name);
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

/// The widths of what is seen; the table is for terminals of 160 characters.
const GRANT: usize = 30;
const SEEN: usize = 56;

pub fn header(columns: &[Wasi]) -> String {
    line("in the pod", "granted", "not granted", columns.iter().map(|wasi| wasi.to_string()))
}

fn line(grant: &str, granted: &str, not: &str, columns: impl Iterator<Item = String>) -> String {
    let columns: String = columns.map(|word| format!(" {word:<6}")).collect();
    format!("{grant:<GRANT$} | {granted:<SEEN$} | {not:<SEEN$} |{columns}").trim_end().to_owned()
}

impl Row {
    /// Tries all of its cells and puts them into one line.
    pub fn tell(&self, daemon: &Containerd, columns: &[Wasi], tally: &mut Tally) -> String {
        let (mut granted, mut not, mut verdicts) = (Seen::default(), Seen::default(), Vec::new());
        for &wasi in columns {
            if !self.on.contains(&wasi) {
                verdicts.push("-".to_owned());
                continue;
            }
            let place = Place { daemon, wasi };
            let before = tally.failed();
            for (seen, cell, which) in
                [(&mut granted, self.granted, "granted"), (&mut not, self.not_granted, "not granted")]
            {
                match cell(&place) {
                    Ok(words) => {
                        tally.pass();
                        seen.add(wasi, words);
                    }
                    Err(error) => tally.fail(format!("{}, {which}, {wasi}", self.grant), error),
                }
            }
            verdicts.push(if tally.failed() == before { "ok" } else { "FAILED" }.to_owned());
        }
        line(self.grant, &granted.words(), &not.words(), verdicts.into_iter())
    }
}

/// What was seen in the columns of a cell: said once where it was the same in all.
#[derive(Default)]
struct Seen(Vec<(Wasi, String)>);

impl Seen {
    fn add(&mut self, wasi: Wasi, words: String) {
        self.0.push((wasi, words));
    }

    fn words(&self) -> String {
        match self.0.as_slice() {
            [] => "-".to_owned(),
            [(_, first), rest @ ..] if rest.iter().all(|(_, words)| words == first) => first.clone(),
            all => all.iter().map(|(wasi, words)| format!("{wasi}: {words}")).collect::<Vec<_>>().join("; "),
        }
    }
}
