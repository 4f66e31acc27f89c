//! Guests that never end by themselves, and those that use up what is not memory: files, sockets, threads, a reader's
//! patience.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::{Run, Wasi, eventually, mode};

use crate::attempt::{ALL, Attempt, Control, Verdict, WAT};
use crate::scene::Scene;

const P1: &[Wasi] = &[Wasi::P1];
const P2: &[Wasi] = &[Wasi::P2];
const NOTHING: Control = Control::None("the attempt's target is that it goes on");

/// A signal ends it.
fn ends(scene: &Scene<'_>, run: Run<'_>) -> Result<Verdict> {
    let mut run = run.spawn()?;
    eventually("it runs", 120, || Ok(scene.daemon.status(run.id())?.as_deref() == Some("RUNNING")))?;
    std::thread::sleep(Duration::from_millis(200));
    ensure!(run.ended()?.is_none(), "it ended by itself: {}", run.outcome()?);
    run.kill("SIGTERM")?;
    let Ok(end) = run.outcome() else {
        return Ok(Verdict::Escaped("more time than a guest is waited for".to_owned()));
    };
    ensure!(end.code == 143, "{end}");
    Ok(Verdict::Stopped("ended by SIGTERM, 143".to_owned()))
}

fn run<'a>(scene: &Scene<'a>, guest: &str) -> Run<'a> {
    scene.daemon.run(&scene.wasi.file(guest))
}

pub const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "loops for ever in its start function",
        on: WAT,
        control: NOTHING,
        act: |scene| ends(scene, run(scene, "start-loop")),
    },
    Attempt {
        name: "loops for ever without a call",
        on: ALL,
        control: NOTHING,
        act: |scene| ends(scene, run(scene, "spin")),
    },
    Attempt {
        name: "copies memory for ever, 128 MiB an instruction",
        on: WAT,
        control: NOTHING,
        act: |scene| ends(scene, run(scene, "memory-copy")),
    },
    Attempt {
        name: "fills memory for ever, 128 MiB an instruction",
        on: WAT,
        control: NOTHING,
        act: |scene| ends(scene, run(scene, "memory-fill")),
    },
    Attempt {
        name: "calls the host for ever",
        on: ALL,
        control: NOTHING,
        act: |scene| ends(scene, scene.guest("raw").args(["race", "4000000000", &scene.raw_at("nothing")])),
    },
    Attempt {
        name: "writes for ever to a reader who does not read",
        on: ALL,
        control: NOTHING,
        act: |scene| {
            let mut run = run(scene, "bigout").args(["4096"]).spawn_unread()?;
            eventually("it runs", 120, || Ok(scene.daemon.status(run.id())?.as_deref() == Some("RUNNING")))?;
            // It has filled the pipes and waits: what the host holds for it stays small.
            eventually("it waits", 120, || {
                let before = run.cpu_time()?;
                std::thread::sleep(Duration::from_millis(300));
                Ok(run.cpu_time()? == before)
            })?;
            let held = run.anonymous_memory().unwrap_or(0);
            // The first container of a host of many has it make its threads, too.
            let most = if mode::is_shared() { 8 << 20 } else { 4 << 20 };
            run.kill("SIGTERM")?;
            let end = run.outcome()?;
            ensure!(end.code == 143, "{end}");
            Ok(match held {
                held if held > most => Verdict::Escaped(format!("{held} bytes of the host's memory")),
                _ => Verdict::Stopped(format!("{} KiB in the host, ended by SIGTERM", held >> 10)),
            })
        },
    },
    Attempt {
        name: "opens files until it is refused",
        on: ALL,
        control: NOTHING,
        act: |scene| {
            std::fs::write(scene.volume().join("file"), "x")?;
            let run = scene.guest("raw").config("[limits]\nopen-files = 256\n");
            let end = run.args(["open-all", &scene.raw_at("file")]).outcome()?;
            let count = end
                .stdout
                .strip_prefix("refused at ")
                .and_then(|rest| rest.split(':').next()?.parse::<u32>().ok());
            match count {
                Some(200..=255) if end.code == 0 => Ok(Verdict::Stopped(end.stdout)),
                Some(_) => Ok(Verdict::Escaped(end.stdout)),
                None => anyhow::bail!("{end}"),
            }
        },
    },
    Attempt {
        name: "makes sockets until it is refused",
        on: P2,
        control: NOTHING,
        act: |scene| {
            let run = run(scene, "hoard").config("[limits]\nopen-files = 256\n");
            let run = run.host_network().annotation("run.wasm/egress", "192.0.2.1:80");
            let end = run.args(["sockets", "1000"]).outcome()?;
            ensure!(end.code == 1 && end.stdout.starts_with("refused at 2"), "{end}");
            Ok(Verdict::Stopped(end.stdout))
        },
    },
    Attempt {
        name: "makes timers until it is refused",
        on: P2,
        control: NOTHING,
        act: |scene| {
            let end = run(scene, "hoard").args(["pollables", "1000000"]).outcome()?;
            ensure!(end.code == 134, "{end}");
            Ok(Verdict::Stopped(end.stderr))
        },
    },
    Attempt {
        name: "makes threads",
        on: P1,
        control: Control::None("there is no such import for anybody"),
        act: |scene| {
            let refusal = run(scene, "thread-spawn").outcome()?.refusal()?;
            ensure!(refusal.contains("thread-spawn"), "{refusal}");
            Ok(Verdict::Stopped("refused at create".to_owned()))
        },
    },
];
