//! Memory and CPU.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::row::{ALL, Place, Row};

const MIB: u64 = 1 << 20;

pub const MEMORY: Row = Row {
    grant: "limits.memory",
    on: ALL,
    granted: |place| {
        let hog = place.run("memory-hog").memory(64 * MIB).args(["48"]).outcome()?;
        ensure!(hog.code == 0 && hog.stdout.ends_with("done\n"), "{hog}");
        Ok("48 MiB of 64 MiB: done".to_owned())
    },
    not_granted: |place| {
        let hog = place.run("memory-hog").memory(64 * MIB).args(["80"]).outcome()?;
        ensure!(hog.code == 137 && hog.stderr.contains("out of memory"), "{hog}");
        Ok("80 MiB of 64 MiB: 137, out of memory".to_owned())
    },
};

pub const CPU: Row = Row {
    grant: "limits.cpu",
    on: ALL,
    granted: |place| {
        ensure!(!busy(place, None)?, "it was throttled without a quota");
        Ok("no quota: never throttled".to_owned())
    },
    not_granted: |place| {
        ensure!(busy(place, Some("0.2"))?, "it was not throttled");
        Ok("0.2 CPU: throttled, at most 0.2 CPU used".to_owned())
    },
};

/// Whether the kernel held back a guest that never rests; one with a quota must not have used more.
fn busy(place: &Place<'_>, quota: Option<&str>) -> Result<bool> {
    let mut run = place.run("spin");
    if let Some(quota) = quota {
        run = run.flag(format!("--cpus={quota}"));
    }
    let mut spin = run.spawn()?;
    spin.says("spinning")?;
    // On a busy machine it would never get so far as to be held back.
    place.daemon.nest().favour()?;
    let (begin, before) = (Instant::now(), spin.cpu_time()?);
    std::thread::sleep(Duration::from_millis(1500));
    // In this order: to ask takes time as well.
    let used = (spin.cpu_time()? - before).as_secs_f64();
    let wall = begin.elapsed().as_secs_f64();
    let throttled = spin.throttled()?;
    spin.kill("SIGKILL")?;
    spin.outcome()?;
    if let Some(quota) = quota {
        let quota: f64 = quota.parse()?;
        // A period's worth more: measuring begins somewhere within one.
        ensure!(used <= wall * quota * 1.1 + quota * 0.1, "{used} s of CPU in {wall} s");
    }
    Ok(throttled)
}
