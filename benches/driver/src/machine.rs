//! How much more the machine bears: memory, process numbers and processors are kept back for everybody else on it.

use std::fs;

use anyhow::{Context, Result};

use crate::footprint::field;

/// What part of the memory, and of the numbers that processes and threads have, stays free.
const SPARE_MEMORY: f64 = 0.15;
const SPARE_PROCESSES: f64 = 0.1;

/// Threads that want a processor, for each there is and in the mean of a minute: beyond that nothing gets done any more.
const MOST_AT_ONCE: f64 = 25.0;

/// Why there should be no more containers, if so.
pub fn is_full() -> Result<Option<String>> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kib = |name| field(&meminfo, name).with_context(|| format!("/proc/meminfo has no {name}"));
    let (free, all) = (kib("MemAvailable")?, kib("MemTotal")?);
    if free < all * SPARE_MEMORY {
        return Ok(Some(format!("{:.0} of {:.0} MiB of memory are left", free / 1024.0, all / 1024.0)));
    }
    let most: f64 = fs::read_to_string("/proc/sys/kernel/pid_max")?.trim().parse()?;
    let loadavg = fs::read_to_string("/proc/loadavg")?;
    let used = threads(&loadavg).context("/proc/loadavg tells no threads")?;
    let load = load(&loadavg).context("/proc/loadavg tells no load")?;
    let processors = std::thread::available_parallelism()?.get() as f64;
    if load > processors * MOST_AT_ONCE {
        return Ok(Some(format!("{load:.0} threads want one of {processors} processors")));
    }
    Ok((used > most * (1.0 - SPARE_PROCESSES)).then(|| format!("{used} of {most} process numbers are taken")))
}

/// The machine's threads: `0.20 0.18 0.12 RUNNING/ALL LAST`.
fn threads(loadavg: &str) -> Option<f64> {
    loadavg.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

/// How many threads ran or wanted to, in the mean of the last minute.
fn load(loadavg: &str) -> Option<f64> {
    loadavg.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{load, threads};

    #[test]
    fn threads_are_counted_whether_they_run_or_not() {
        assert_eq!(threads("0.20 0.18 0.12 1/80 11206\n"), Some(80.0));
    }

    #[test]
    fn the_load_is_that_of_the_last_minute() {
        assert_eq!(load("0.20 0.18 0.12 1/80 11206\n"), Some(0.2));
    }
}
