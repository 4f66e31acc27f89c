//! Races: while the guest opens a path again and again, the node swaps what it leads to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::attempt::{ALL, Attempt, Control, Verdict};
use crate::scene::Scene;

/// How often the guest opens the path. In the control, where every swap counts, far fewer would do.
const OPENS: &str = "4000";

/// Exchanges two names again and again while `act` runs; afterwards both are as they were.
fn while_swapping<T>(one: &Path, other: &Path, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let over = AtomicBool::new(false);
    let (result, swaps) = std::thread::scope(|scope| {
        let swapping = scope.spawn(|| -> Result<u32> {
            let mut swaps = 0;
            // An even number of swaps undoes itself.
            while !over.load(Ordering::Relaxed) || swaps % 2 == 1 {
                renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?;
                swaps += 1;
            }
            Ok(swaps)
        });
        let result = act();
        over.store(true, Ordering::Relaxed);
        (result, swapping.join())
    });
    let swaps = swaps.map_err(|_| anyhow::anyhow!("the swapping thread panicked"))??;
    ensure!(swaps > 100, "there were {swaps} swaps only");
    result
}

/// A folder `dir` of the volume, and the name `away` that is exchanged with it: a link out of the volume.
fn folder_for_link(scene: &Scene<'_>, words: &[&str]) -> Result<Verdict> {
    let (dir, away) = (scene.volume().join("dir"), scene.volume().join("away"));
    fs::create_dir(&dir)?;
    fs::write(dir.join("canary"), "harmless")?;
    symlink("../outside", &away)?;
    while_swapping(&dir, &away, || scene.raw(words))
}

pub const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "reads below a folder that turns into a symlink out and back",
        on: ALL,
        control: Control::Open,
        act: |scene| folder_for_link(scene, &["race", OPENS, &scene.raw_at("dir/canary")]),
    },
    Attempt {
        name: "writes below a folder that turns into a symlink out and back",
        on: ALL,
        control: Control::Open,
        act: |scene| folder_for_link(scene, &["race-write", OPENS, &scene.raw_at("dir/canary"), "gone"]),
    },
    Attempt {
        name: "makes files below a folder that turns into a symlink out and back",
        on: ALL,
        control: Control::Open,
        act: |scene| folder_for_link(scene, &["race-write", OPENS, &scene.raw_at("dir/new"), "gone"]),
    },
    Attempt {
        name: "reads a file that turns into a symlink out and back",
        on: ALL,
        control: Control::Open,
        act: |scene| {
            let (file, away) = (scene.volume().join("file"), scene.volume().join("away"));
            fs::write(&file, "harmless")?;
            symlink("../outside/canary", &away)?;
            while_swapping(&file, &away, || scene.raw(&["race", OPENS, &scene.raw_at("file")]))
        },
    },
    Attempt {
        name: "reads a file that turns into an absolute symlink and back",
        on: ALL,
        control: Control::None("absolute targets are followed below no preopen"),
        act: |scene| {
            let (file, away) = (scene.volume().join("file"), scene.volume().join("away"));
            fs::write(&file, "harmless")?;
            symlink(scene.canary(), &away)?;
            while_swapping(&file, &away, || scene.raw(&["race", OPENS, &scene.raw_at("file")]))
        },
    },
    Attempt {
        name: "climbs by `..` from a folder that moves out of the volume and back",
        on: ALL,
        control: Control::None("`..` leads back to what was opened, not to where that is by now"),
        act: |scene| {
            // Once moved, the folder's `..` is the canary's own folder.
            let (dir, away) = (scene.volume().join("top/dir"), scene.outside_of_sight()?);
            fs::create_dir_all(&dir)?;
            fs::write(scene.volume().join("top/canary"), "harmless")?;
            while_swapping(&dir, &away, || scene.raw(&["race", OPENS, &scene.raw_at("top/dir/../canary")]))
        },
    },
];
