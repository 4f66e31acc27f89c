//! Links that lead out of the volume, made by others or by the guest.

use std::fs;

use anyhow::{Result, ensure};

use crate::attempt::{ALL, Attempt, Control, Verdict};
use crate::scene::Scene;

/// A link with an absolute target leads nowhere below a preopen, not in the control either: each of these attempts checks
/// instead that the node itself gets there by it.
const BY_THE_NODE: Control =
    Control::None("absolute targets are followed below no preopen; the node itself follows it");

/// A link in the volume to the canary's folder.
fn folder_link(scene: &Scene<'_>, words: &[&str]) -> Result<Verdict> {
    scene.link("out", "../outside")?;
    fs::write(scene.volume().join("own"), "own")?;
    let words: Vec<String> = words
        .iter()
        .map(|word| match word.strip_prefix('@') {
            Some(path) => scene.raw_at(path),
            None => (*word).to_owned(),
        })
        .collect();
    scene.raw(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

pub const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "reads through a symlink to `../outside/canary`",
        on: ALL,
        control: Control::Open,
        act: |scene| {
            scene.link("link", "../outside/canary")?;
            scene.raw(&["read", &scene.raw_at("link")])
        },
    },
    Attempt {
        name: "writes through a symlink to `../outside/canary`",
        on: ALL,
        control: Control::Open,
        act: |scene| {
            scene.link("link", "../outside/canary")?;
            scene.raw(&["write", &scene.raw_at("link"), "gone"])
        },
    },
    Attempt {
        name: "reads through a symlink to the canary's absolute path",
        on: ALL,
        control: BY_THE_NODE,
        act: |scene| {
            scene.link("link", scene.canary())?;
            ensure!(fs::read(scene.volume().join("link"))? == fs::read(scene.canary())?);
            scene.raw(&["read", &scene.raw_at("link")])
        },
    },
    Attempt {
        name: "writes through a symlink to the canary's absolute path",
        on: ALL,
        control: BY_THE_NODE,
        act: |scene| {
            scene.link("link", scene.canary())?;
            scene.raw(&["write", &scene.raw_at("link"), "gone"])
        },
    },
    Attempt {
        name: "reads through a symlink to `/`, then by the canary's path",
        on: ALL,
        control: BY_THE_NODE,
        act: |scene| {
            scene.link("link", "/")?;
            let path = format!("link{}", scene.canary().display());
            ensure!(fs::read(scene.volume().join(&path))? == fs::read(scene.canary())?);
            scene.raw(&["read", &scene.raw_at(&path)])
        },
    },
    Attempt {
        name: "reads through a chain of ten symlinks",
        on: ALL,
        control: Control::Open,
        act: |scene| {
            scene.link("link0", "../outside/canary")?;
            for number in 1..10 {
                scene.link(&format!("link{number}"), format!("link{}", number - 1))?;
            }
            scene.raw(&["read", &scene.raw_at("link9")])
        },
    },
    Attempt {
        name: "follows a symlink to itself",
        on: ALL,
        control: Control::None("it leads nowhere; the host must not follow it for ever"),
        act: |scene| {
            scene.link("link", "link")?;
            scene.raw(&["read", &scene.raw_at("link")])
        },
    },
    Attempt {
        name: "reads through a symlinked folder",
        on: ALL,
        control: Control::Open,
        act: |scene| folder_link(scene, &["read", "@out/canary"]),
    },
    Attempt {
        name: "makes a file in a symlinked folder",
        on: ALL,
        control: Control::Open,
        act: |scene| folder_link(scene, &["write", "@out/new", "x"]),
    },
    Attempt {
        name: "makes a folder in a symlinked folder",
        on: ALL,
        control: Control::Open,
        act: |scene| folder_link(scene, &["mkdir", "@out/new"]),
    },
    Attempt {
        name: "removes a file of a symlinked folder",
        on: ALL,
        control: Control::Open,
        act: |scene| folder_link(scene, &["unlink", "@out/canary"]),
    },
    Attempt {
        name: "truncates a file of a symlinked folder",
        on: ALL,
        control: Control::Open,
        act: |scene| folder_link(scene, &["cut", "@out/canary"]),
    },
    Attempt {
        name: "moves its own file into a symlinked folder",
        on: ALL,
        control: Control::Open,
        act: |scene| folder_link(scene, &["rename", "@own", "@out/own"]),
    },
    Attempt {
        name: "moves the canary out of a symlinked folder",
        on: ALL,
        control: Control::Open,
        act: |scene| folder_link(scene, &["rename", "@out/canary", "@stolen"]),
    },
    Attempt {
        name: "makes a hard link to the canary in the volume",
        on: ALL,
        control: Control::Open,
        act: |scene| {
            scene.raw(&["link", &scene.raw_at("../outside/canary"), &scene.raw_at("mine")])?;
            // Without the link this makes a file of the volume's own.
            scene.raw(&["write", &scene.raw_at("mine"), "gone"])
        },
    },
    Attempt {
        name: "makes a hard link to its own file beside the canary",
        on: ALL,
        control: Control::Open,
        act: |scene| {
            fs::write(scene.volume().join("own"), "own")?;
            scene.raw(&["link", &scene.raw_at("own"), &scene.raw_at("../outside/own")])
        },
    },
    Attempt {
        name: "makes a symlink to `../outside/canary` itself and reads it",
        on: ALL,
        control: Control::Open,
        act: |scene| {
            scene.raw(&["symlink", "../outside/canary", &scene.raw_at("own")])?;
            scene.raw(&["read", &scene.raw_at("own")])
        },
    },
    Attempt {
        name: "makes a symlink to an absolute path itself and reads it",
        on: ALL,
        control: Control::None("absolute targets are followed below no preopen"),
        act: |scene| {
            scene.raw(&["symlink", &scene.canary().display().to_string(), &scene.raw_at("own")])?;
            scene.raw(&["read", &scene.raw_at("own")])
        },
    },
    Attempt {
        name: "makes a symlink beside the canary",
        on: ALL,
        control: Control::Open,
        act: |scene| scene.raw(&["symlink", "canary", &scene.raw_at("../outside/own")]),
    },
];
