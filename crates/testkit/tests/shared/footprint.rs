//! What processes hold.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use testkit::Process;

/// Of one process, or of several in sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    pub files: usize,
    pub mappings: usize,
    pub threads: usize,
    /// KiB of its own: anonymous memory.
    pub memory: usize,
}

impl Footprint {
    pub fn of(processes: &[Process]) -> Result<Footprint> {
        let mut sum = Footprint::default();
        for process in processes {
            let place = |file: &str| format!("/proc/{}/{file}", process.pid);
            let status = fs::read_to_string(place("status"))?;
            let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
            let memory = memory.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
            sum.files += fs::read_dir(place("fd"))?.count();
            sum.mappings += fs::read_to_string(place("maps"))?.lines().count();
            sum.threads += fs::read_dir(place("task"))?.count();
            sum.memory += memory.context("a process without memory")?;
        }
        Ok(sum)
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Footprint { files, mappings, threads, memory } = self;
        write!(f, "{files} files, {mappings} mappings, {threads} threads, {memory} KiB")
    }
}
