//! Bombs: guests that want more memory than their limit, by every way that there is to want it.

use anyhow::{Result, ensure};
use testkit::{Outcome, Run, Wasi, mode};

use crate::attempt::{ALL, Attempt, Control, Verdict, WAT};
use crate::scene::Scene;

const MIB: u64 = 1 << 20;

/// The limit of the pod, and one that is wide enough for every bomb here.
const LIMIT: u64 = 64 * MIB;
const WIDE: u64 = 1024 * MIB;

const P2: &[Wasi] = &[Wasi::P2];

/// It gets through when it ends well, or when its host ever has more memory of its own than the limit. It is stopped when
/// it ends as out of memory, with the figure.
fn bomb(scene: &Scene<'_>, run: Run<'_>) -> Result<Verdict> {
    let limit = if scene.open { WIDE } else { LIMIT };
    let mut bomb = run.memory(limit).spawn()?;
    let mut peak = 0;
    while bomb.ended()?.is_none() {
        peak = peak.max(bomb.anonymous_memory().unwrap_or(0));
    }
    let end = bomb.outcome()?;
    if peak > limit + beyond() {
        return Ok(Verdict::Escaped(format!("{peak} bytes of {limit}")));
    }
    if mode::is_shared() && is_too_large_a_call(&end) {
        return Ok(Verdict::Stopped(format!("{} MiB seen; the call is refused", peak / MIB)));
    }
    if end.code == 0 {
        return Ok(Verdict::Escaped(format!("all that it wanted: {}", end.stdout)));
    }
    ensure!(end.code == 137 && end.stderr.contains("memory limit of 64 MiB reached"), "{end}");
    let told = end.stderr.split_once("reached: ").map_or("", |(_, figures)| figures);
    Ok(Verdict::Stopped(format!("{} MiB seen; {told}", peak / MIB)))
}

/// Whether a call would have copied more than one may among many: a trap, and to preview 1 the lack of memory (48, `nomem`).
fn is_too_large_a_call(end: &Outcome) -> bool {
    let trap = ["fuel allocated for hostcalls has been exhausted", "exceeds limit"];
    match end.code {
        0 => end.stdout.contains(r#"Err("errno 48")"#),
        code => code == 134 && trap.iter().any(|words| end.stderr.contains(words)),
    }
}

/// How much more than its limit a guest's host may have: among many, what one call copies is counted when the call is over,
/// two or three times 16 MiB.
fn beyond() -> u64 {
    if mode::is_shared() { 48 * MIB } else { 0 }
}

fn run<'a>(scene: &Scene<'a>, guest: &str, words: &[&str]) -> Run<'a> {
    scene.daemon.run(&scene.wasi.file(guest)).args(words.iter().copied())
}

pub const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "touches more memory than its limit",
        on: ALL,
        control: Control::Open,
        act: |scene| bomb(scene, run(scene, "memory-hog", &["128"])),
    },
    Attempt {
        name: "has many memories, each of them small",
        on: WAT,
        control: Control::Open,
        act: |scene| bomb(scene, run(scene, "many-memories", &[])),
    },
    Attempt {
        name: "has a memory of 4 GiB from the start",
        on: WAT,
        control: Control::None("no limit here is wide enough"),
        act: |scene| bomb(scene, run(scene, "huge-memory", &[])),
    },
    Attempt {
        name: "grows a table without end",
        on: WAT,
        control: Control::OpenAlone("there its pool has no larger tables"),
        act: |scene| match mode::is_shared() {
            true => {
                let end = run(scene, "table-bomb", &[]).memory(LIMIT).outcome()?;
                ensure!(end.code == 134 && end.stderr.contains("unreachable"), "{end}");
                Ok(Verdict::Stopped("the table does not grow".to_owned()))
            }
            false => bomb(scene, run(scene, "table-bomb", &[])),
        },
    },
    Attempt {
        name: "is 1728 instances in one, as components of components",
        on: P2,
        control: Control::None("more than 1000 instances are refused with any limit"),
        act: |scene| bomb(scene, run(scene, "many-instances", &[])),
    },
    Attempt {
        name: "has the host keep headers of 64 KiB",
        on: P2,
        control: Control::Open,
        act: |scene| bomb(scene, run(scene, "hoard", &["fields", "2000"])),
    },
    Attempt {
        name: "has the host make 80 MiB of random bytes in one call",
        on: P2,
        control: Control::None("no call makes more than 64 MiB of them"),
        act: |scene| bomb(scene, run(scene, "hoard", &["random", "60"])),
    },
    Attempt {
        name: "has the host copy a path of 40 MiB",
        on: ALL,
        control: Control::OpenAlone("there no call copies more than 16 MiB"),
        act: |scene| bomb(scene, run(scene, "raw", &["long-path", "40"])),
    },
];
