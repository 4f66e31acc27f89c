//! Paths that climb out of the volume.

use crate::attempt::{ALL, Attempt, Control};

pub const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "reads by `..` from within the volume",
        on: ALL,
        control: Control::Open,
        act: |scene| scene.files(&["read", &scene.at("../outside/canary")]),
    },
    Attempt {
        name: "writes by `..` from within the volume",
        on: ALL,
        control: Control::Open,
        act: |scene| scene.files(&["write", &scene.at("../outside/canary"), "gone"]),
    },
    Attempt {
        name: "reads by `/proc/self/root`",
        on: ALL,
        control: Control::None("no guest has a procfs, and none can be mounted for it"),
        act: |scene| scene.files(&["read", &format!("/proc/self/root{}", scene.canary().display())]),
    },
];
