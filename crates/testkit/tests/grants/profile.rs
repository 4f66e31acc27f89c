//! Time, chance and how long.

use anyhow::{Result, ensure};

use crate::row::{ALL, Place, Row};

/// The frozen clock's moment, as the guest prints it.
const FROZEN: &str = "wall-seconds: 946684800\n";

pub const TIMEOUT: Row = Row {
    grant: "run.wasm/timeout",
    on: ALL,
    granted: |place| {
        let hello = place.run("hello").annotation("run.wasm/timeout", "10m").outcome()?.success()?;
        ensure!(hello == "hello from run-wasm\n", "{hello}");
        Ok("10m: runs to its end".to_owned())
    },
    not_granted: |place| {
        let sleep = place.run("sleep").args(["3600"]).annotation("run.wasm/timeout", "500ms").outcome()?;
        ensure!(sleep.code == 124 && sleep.stderr.contains("timed out"), "{sleep}");
        Ok("500ms for an hour: 124, timed out".to_owned())
    },
};

pub const PROFILE: Row = Row {
    grant: "run.wasm/profile",
    on: &[testkit::Wasi::P1, testkit::Wasi::P2],
    granted: |place| {
        let clocks = |place: &Place<'_>| {
            let run = place.run("clocks").annotation("run.wasm/profile", "strict");
            let run = run.annotation("run.wasm/clock", "frozen").annotation("run.wasm/random", "seed:1");
            run.outcome()?.success()
        };
        let (one, other) = (clocks(place)?, clocks(place)?);
        ensure!(one == other, "{one}\n{other}");
        Ok("strict: two runs, one output".to_owned())
    },
    not_granted: |place| {
        let clocks = place.run("clocks").annotation("run.wasm/profile", "strict").outcome()?;
        ensure!(clocks.code == 134 && clocks.stderr.contains("in the strict profile"), "{clocks}");
        Ok("strict, no clock: 134, names the grant".to_owned())
    },
};

pub const CLOCK: Row = Row {
    grant: "run.wasm/clock",
    on: ALL,
    granted: |place| {
        let real = place.run("clocks").annotation("run.wasm/clock", "real").outcome()?.success()?;
        ensure!(real.contains("wall: plausible"), "{real}");
        let frozen = place.run("clocks").annotation("run.wasm/clock", "frozen").outcome()?.success()?;
        ensure!(frozen.contains(FROZEN), "{frozen}");
        Ok("real: the time; frozen: 2000-01-01".to_owned())
    },
    not_granted: |place| denied(place, "run.wasm/clock"),
};

pub const RANDOM: Row = Row {
    grant: "run.wasm/random",
    on: ALL,
    granted: |place| {
        let seeded = |seed: &str| -> Result<String> {
            let output = place.run("clocks").annotation("run.wasm/random", seed).outcome()?.success()?;
            Ok(output.lines().find(|line| line.starts_with("random: ")).unwrap_or_default().to_owned())
        };
        ensure!(seeded("seed:1")? == seeded("seed:1")? && seeded("seed:1")? != seeded("seed:2")?);
        ensure!(seeded("real")? != seeded("real")?);
        Ok("seed: the same bytes; real: others".to_owned())
    },
    not_granted: |place| denied(place, "run.wasm/random"),
};

fn denied(place: &Place<'_>, annotation: &str) -> Result<String> {
    let clocks = place.run("clocks").annotation(annotation, "deny").outcome()?;
    ensure!(clocks.code == 134 && clocks.stderr.contains(&format!("by `{annotation}: deny`")), "{clocks}");
    Ok("deny: 134, names the grant".to_owned())
}
