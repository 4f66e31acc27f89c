//! Clock, randomness, time limit, configuration and log, as the pod's annotations and environment have them.

use std::time::{Duration, Instant};

use anyhow::Result;
use testkit::Containerd;

const CLOCKS: [&str; 2] = ["clocks.wasm", "clocks.p1.wasm"];

/// The value of a line `key: value` of what a guest printed.
fn value<'a>(output: &'a str, key: &str) -> Option<&'a str> {
    output.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
}

/// The random bytes that the guest sees with this annotation.
fn random(daemon: &Containerd, file: &str, granted: &str) -> Result<String> {
    let output = daemon.run(file).annotation("run.wasm/random", granted).outcome()?.success()?;
    Ok(value(&output, "random").unwrap_or_default().to_owned())
}

testkit::stories! {
    fn a_frozen_clock_shows_always_the_same_moment_and_waits_for_nothing(daemon) {
        for file in CLOCKS {
            let output = daemon.run(file).annotation("run.wasm/clock", "frozen").outcome()?.success()?;
            assert_eq!(value(&output, "wall-seconds"), Some("946684800"), "{output}");
            assert_eq!(value(&output, "monotonic-ms"), Some("0"), "{output}");
        }
    }

    fn a_denied_clock_ends_the_guest_with_what_would_allow_it(daemon) {
        for file in CLOCKS {
            let ended = daemon.run(file).annotation("run.wasm/clock", "deny").outcome()?;
            assert_eq!(ended.code, 134, "{ended}");
            let sentence = "is not allowed by `run.wasm/clock: deny`: `frozen` or `real` allows it";
            assert!(ended.stderr.contains(sentence), "{ended}");
        }
    }

    fn randomness_is_the_kernels_or_of_a_seed_or_none(daemon) {
        for file in CLOCKS {
            assert_ne!(random(daemon, file, "real")?, random(daemon, file, "real")?);
            assert_eq!(random(daemon, file, "seed:7")?, random(daemon, file, "seed:7")?);
            assert_ne!(random(daemon, file, "seed:7")?, random(daemon, file, "seed:8")?);
            let ended = daemon.run(file).annotation("run.wasm/random", "deny").outcome()?;
            assert!(ended.code == 134 && ended.stderr.contains("`run.wasm/random: deny`"), "{ended}");
        }
    }

    fn a_guest_that_runs_too_long_ends_with_124_and_keeps_its_output(daemon) {
        for (file, output) in [("spin.wasm", "spinning"), ("sleep.p1.wasm", "sleeping"), ("start-loop.wasm", "")] {
            let begin = Instant::now();
            let run = daemon.run(file).annotation("run.wasm/timeout", "1s");
            let ended = if file.starts_with("sleep") { run.args(["3600"]) } else { run }.outcome()?;
            assert_eq!(ended.code, 124, "{file}: {ended}");
            assert!(ended.stdout.contains(output), "{file}: {ended}");
            assert!(ended.stderr.contains("timed out: it ran for the 1s of `run.wasm/timeout`"), "{file}: {ended}");
            assert!(begin.elapsed() < Duration::from_secs(60), "{file} took {:?}", begin.elapsed());
        }
    }

    fn a_time_limit_is_kept_in_the_middle_of_an_instruction_that_moves_memory(daemon) {
        for file in ["memory-copy.wasm", "memory-copy.p1.wasm", "memory-fill.wasm", "memory-fill.p1.wasm"] {
            let begin = Instant::now();
            let ended = daemon.run(file).annotation("run.wasm/timeout", "1s").outcome()?;
            assert_eq!(ended.code, 124, "{file}: {ended}");
            assert!(ended.stderr.contains("timed out: it ran for the 1s of `run.wasm/timeout`"), "{file}: {ended}");
            assert!(begin.elapsed() < Duration::from_secs(60), "{file} took {:?}", begin.elapsed());
        }
    }

    fn a_guest_that_ends_in_time_does_not_notice_its_limit(daemon) {
        let hello = daemon.run("hello.wasm").annotation("run.wasm/timeout", "5m").outcome()?.success()?;
        assert_eq!(hello, "hello from run-wasm\n");
    }

    fn a_strict_guest_may_not_ask_for_a_network(daemon) {
        let refusal = daemon
            .run("hello.wasm")
            .annotation("run.wasm/profile", "strict")
            .annotation("run.wasm/egress", "10.0.0.1:80")
            .outcome()?
            .refusal()?;
        assert!(refusal.contains("the strict profile has no network"), "{refusal}");
    }

    fn the_environment_is_the_configuration(daemon) {
        let output = daemon.run("config.wasm").env("GREETING", "hi").args(["GREETING", "PARTING"]).outcome()?.success()?;
        assert!(output.contains("GREETING: Ok(Some(\"hi\"))\nPARTING: Ok(None)\n"), "{output}");
        assert!(value(&output, "keys").is_some_and(|keys| keys.split(' ').any(|key| key == "GREETING")), "{output}");
    }

    fn a_log_is_lines_with_levels_on_stderr(daemon) {
        let ended = daemon.run("logging.wasm").args(["one\ntwo"]).outcome()?;
        assert_eq!(ended.code, 0, "{ended}");
        let levels = ["trace", "debug", "info", "warn", "error", "critical"];
        let expected: String = levels.iter().map(|level| format!("{level} guest: one\\ntwo\n")).collect();
        assert_eq!(ended.stderr, format!("{expected}info: done\n"), "{ended}");
    }
}
