//! How well a guest is served: the guest `pulse` says every few milliseconds how long it has lived.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::{Containerd, Member, eventually};

/// Milliseconds between two words of a pulse.
const PAUSE: u64 = 10;

/// A guest whose every word is a measurement.
pub struct Pulse {
    pub member: Member,
    file: PathBuf,
}

impl Pulse {
    pub fn new(daemon: &Containerd, id: &str, uid: u32) -> Result<Pulse> {
        let file = daemon.nest().folder().join(format!("{id}.output"));
        fs::write(&file, "")?;
        let member = Member::new(id).user(uid).args([PAUSE.to_string()]).output(&file);
        Ok(Pulse { member, file })
    }

    pub fn output(&self) -> String {
        fs::read_to_string(&self.file).unwrap_or_default()
    }

    /// The moments at which it spoke, by its own clock.
    fn words(&self) -> Vec<Duration> {
        let text = self.output();
        let whole = text.get(..text.rfind('\n').map_or(0, |end| end + 1)).unwrap_or_default();
        whole.lines().filter_map(|line| line.parse().ok()).map(Duration::from_micros).collect()
    }

    /// How often it has spoken.
    pub fn count(&self) -> usize {
        self.words().len()
    }

    pub fn beats(&self) -> Result<()> {
        let before = self.count();
        eventually(&format!("{} goes on", self.member.id()), 60, || Ok(self.count() > before + 20))
    }

    /// The times between two words each, from the word number `from` on.
    pub fn intervals(&self, from: usize) -> Vec<Duration> {
        let words = self.words();
        let words = words.get(from.min(words.len())..).unwrap_or_default();
        words.iter().zip(words.iter().skip(1)).map(|(one, next)| next.saturating_sub(*one)).collect()
    }
}

/// The time that 99 of 100 do not exceed.
pub fn p99(mut times: Vec<Duration>) -> Result<Duration> {
    ensure!(times.len() >= 50, "{} times are too few", times.len());
    times.sort();
    let rank = (times.len() * 99).div_ceil(100);
    times.get(rank.saturating_sub(1)).copied().ok_or_else(|| anyhow::anyhow!("no times"))
}
