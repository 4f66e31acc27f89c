//! Changes to what is mounted read-only. Beside the read-only volume there is always a writable one: the one preopen of a
//! guest has one permission for all, so what is tried here only the mounts themselves can refuse.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, ensure};

use crate::attempt::{ALL, Attempt, Control, Verdict};
use crate::scene::Scene;

/// Everything about the volume that a guest could change: names, contents, times, links, modes.
fn state(scene: &Scene<'_>) -> Result<Vec<String>> {
    let mut state = Vec::new();
    for entry in fs::read_dir(scene.volume())? {
        let entry = entry?;
        let of = entry.path().symlink_metadata()?;
        let content = if of.is_file() { fs::read_to_string(entry.path())? } else { String::new() };
        let times = (of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec());
        state.push(format!("{:?} {content} {times:?} {} {:o}", entry.file_name(), of.nlink(), of.mode()));
    }
    state.sort();
    Ok(state)
}

/// `@` stands for the volume's place, `+` for that of the writable one beside it.
fn change(scene: &Scene<'_>, words: &[&str]) -> Result<Verdict> {
    fs::write(scene.volume().join("fixed"), "as it was")?;
    let before = state(scene)?;
    let options = if scene.open { "rbind:rw" } else { "rbind:ro" };
    let words = words.iter().map(|word| word.replace('@', &scene.raw_at("")).replace('+', "writable/"));
    let run = scene.guest_with("raw", options).mount(&scene.spare()?, "/writable", "rbind:rw").args(words);
    let outcome = run.outcome()?;
    let verdict = scene.judge(&outcome)?;
    let after = state(scene)?;
    ensure!(scene.open || outcome.code == 1, "the guest believes that it worked: {outcome}");
    Ok(if before == after { verdict } else { Verdict::Escaped(format!("{before:?} became {after:?}")) })
}

const TWO_MOUNTS: Control = Control::None("two mounts are two file systems, writable or not");

pub const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "writes to a file of a read-only volume",
        on: ALL,
        control: Control::Open,
        act: |scene| change(scene, &["write", "@fixed", "changed"]),
    },
    Attempt {
        name: "makes a file in a read-only volume",
        on: ALL,
        control: Control::Open,
        act: |scene| change(scene, &["write", "@new", "x"]),
    },
    Attempt {
        name: "truncates a file of a read-only volume as it opens it to read",
        on: ALL,
        control: Control::Open,
        act: |scene| change(scene, &["cut", "@fixed"]),
    },
    Attempt {
        name: "resizes a file of a read-only volume",
        on: ALL,
        control: Control::Open,
        act: |scene| change(scene, &["resize", "@fixed", "3"]),
    },
    Attempt {
        name: "sets the times of a file of a read-only volume",
        on: ALL,
        control: Control::Open,
        act: |scene| change(scene, &["times", "@fixed"]),
    },
    Attempt {
        name: "renames a file within a read-only volume",
        on: ALL,
        control: Control::Open,
        act: |scene| change(scene, &["rename", "@fixed", "@moved"]),
    },
    Attempt {
        name: "removes a file of a read-only volume",
        on: ALL,
        control: Control::Open,
        act: |scene| change(scene, &["unlink", "@fixed"]),
    },
    Attempt {
        name: "makes a folder in a read-only volume",
        on: ALL,
        control: Control::Open,
        act: |scene| change(scene, &["mkdir", "@new"]),
    },
    Attempt {
        name: "makes a symlink in a read-only volume",
        on: ALL,
        control: Control::Open,
        act: |scene| change(scene, &["symlink", "fixed", "@new"]),
    },
    Attempt {
        name: "makes a hard link within a read-only volume",
        on: ALL,
        control: Control::Open,
        act: |scene| change(scene, &["link", "@fixed", "@new"]),
    },
    Attempt {
        name: "moves a file from a read-only volume to a writable one",
        on: ALL,
        control: TWO_MOUNTS,
        act: |scene| change(scene, &["rename", "@fixed", "+mine"]),
    },
    Attempt {
        name: "moves a file from a writable volume over one of a read-only one",
        on: ALL,
        control: TWO_MOUNTS,
        act: |scene| change(scene, &["rename", "+own", "@fixed"]),
    },
    Attempt {
        name: "makes a hard link from a read-only volume into a writable one",
        on: ALL,
        control: TWO_MOUNTS,
        act: |scene| change(scene, &["link", "@fixed", "+mine"]),
    },
    Attempt {
        name: "moves the place of a volume itself",
        on: ALL,
        control: TWO_MOUNTS,
        act: |scene| {
            let run = scene.guest("raw").args(["rename", "data", "moved"]).outcome()?;
            ensure!(run.code == 1, "{run}");
            scene.judge(&run)
        },
    },
    Attempt {
        name: "writes to the root of a pure Wasm image",
        on: ALL,
        control: TWO_MOUNTS,
        act: |scene| {
            let run = scene.guest("raw").args(["write", "new", "x"]).outcome()?;
            ensure!(run.code == 1, "{run}");
            scene.judge(&run)
        },
    },
];
