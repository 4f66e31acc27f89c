//! Paths that climb out of the volume, or are no paths.

use std::fs;

use anyhow::ensure;

use crate::attempt::{ALL, Attempt, Control};

/// The node's folders are in no mount that the host has.
const NOT_THERE: Control =
    Control::None("what is not granted is not mounted: nobody in the host's place could name it");

pub const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "reads by `..` from within the volume",
        on: ALL,
        control: Control::Open,
        act: |scene| scene.raw(&["read", &scene.raw_at("../outside/canary")]),
    },
    Attempt {
        name: "writes by `..` from within the volume",
        on: ALL,
        control: Control::Open,
        act: |scene| scene.raw(&["write", &scene.raw_at("../outside/canary"), "gone"]),
    },
    Attempt {
        name: "reads by `..` by its C library",
        on: ALL,
        control: Control::Open,
        act: |scene| scene.files(&["read", &scene.at("../outside/canary")]),
    },
    Attempt {
        name: "climbs above its own root by `..`",
        on: ALL,
        control: NOT_THERE,
        act: |scene| scene.raw(&["read", &format!("{}{}", "../".repeat(20), scene.canary().display())]),
    },
    Attempt {
        name: "names the canary by its absolute path",
        on: ALL,
        control: NOT_THERE,
        act: |scene| scene.raw(&["read", &scene.canary().display().to_string()]),
    },
    Attempt {
        name: "climbs by `..` from a folder that it has opened",
        on: ALL,
        control: Control::None("every folder that is opened is a root of its own"),
        act: |scene| scene.raw(&["read-below", &scene.raw_at("."), "../outside/canary"]),
    },
    Attempt {
        name: "reads by `/proc/self/root`",
        on: ALL,
        control: Control::None("no guest has a procfs, and none can be mounted for it"),
        act: |scene| scene.files(&["read", &format!("/proc/self/root{}", scene.canary().display())]),
    },
    Attempt {
        name: "reads its own compiled code, which lies beside its root",
        on: ALL,
        control: NOT_THERE,
        act: |scene| {
            let read = scene.guest("raw").args(["read", "../code"]).outcome()?;
            ensure!(read.stdout.starts_with("error: "), "{read}");
            scene.judge(&read)
        },
    },
    Attempt {
        name: "replaces its own compiled code",
        on: ALL,
        control: NOT_THERE,
        act: |scene| {
            let write = scene.guest("raw").args(["write", "../code", "gone"]).outcome()?;
            ensure!(write.stdout.starts_with("error: "), "{write}");
            scene.judge(&write)
        },
    },
    Attempt {
        name: "looks into the folders of other containers, `/c`",
        on: ALL,
        control: NOT_THERE,
        act: |scene| {
            for path in ["/c", "../../c", "c", "../../../c"] {
                let read = scene.guest("raw").args(["read", path]).outcome()?;
                ensure!(read.stdout.starts_with("error: "), "{path}: {read}");
            }
            scene.files(&["list", "/c"])
        },
    },
    Attempt {
        name: "hides what follows behind a NUL",
        on: ALL,
        control: Control::None("no file's name has a NUL"),
        act: |scene| {
            fs::write(scene.volume().join("harmless"), "harmless")?;
            let read = scene.guest("raw").args(["read", &scene.raw_at("harmless%00.txt")]).outcome()?;
            ensure!(read.stdout.starts_with("error: "), "{read}");
            scene.raw(&["write", &scene.raw_at("../outside/canary%00"), "gone"])
        },
    },
    Attempt {
        name: "makes a name with a newline, which stays a name",
        on: ALL,
        control: Control::None("a name like any other"),
        act: |scene| {
            let verdict = scene.raw(&["write", &scene.raw_at("new%0aline"), "x"])?;
            ensure!(fs::read_to_string(scene.volume().join("new\nline"))? == "x", "it is not in the volume");
            Ok(verdict)
        },
    },
    Attempt {
        name: "gives a path of 100 000 bytes",
        on: ALL,
        control: Control::None("no kernel takes one of more than 4096"),
        act: |scene| {
            scene.raw(&["read", &format!("{}../outside/canary", scene.raw_at(&"./".repeat(50_000)))])
        },
    },
    Attempt {
        name: "gives a name of 3000 bytes",
        on: ALL,
        control: Control::None("no file system has one of more than 255"),
        act: |scene| scene.raw(&["write", &scene.raw_at(&"n".repeat(3000)), "x"]),
    },
];
