//! Links that lead out of the volume.

use crate::attempt::{ALL, Attempt, Control};

pub const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "reads through a symlink to `../outside/canary`",
        on: ALL,
        control: Control::Open,
        act: |scene| {
            scene.link("link", "../outside/canary")?;
            scene.files(&["read", &scene.at("link")])
        },
    },
    Attempt {
        name: "writes through a symlink to `../outside/canary`",
        on: ALL,
        control: Control::Open,
        act: |scene| {
            scene.link("link", "../outside/canary")?;
            scene.files(&["write", &scene.at("link"), "gone"])
        },
    },
];
