//! Volumes that are windows into the kernel, and files in volumes that are no files.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use testkit::until;

use crate::attempt::{ALL, Attempt, Control, Verdict};
use crate::scene::{DATA, Scene};

const ONE: &[testkit::Wasi] = &[testkit::Wasi::P2];

/// A container with that folder of the node as its volume: created, or refused with its name and the reason.
fn bind(scene: &Scene<'_>, source: &str) -> Result<Verdict> {
    let run = scene.daemon.run(&scene.wasi.file("files")).mount(Path::new(source), DATA, "rbind:ro");
    let outcome = run.args(["list", DATA]).outcome()?;
    if outcome.code == 0 {
        return Ok(Verdict::Escaped(outcome.stdout));
    }
    let refusal = outcome.refusal()?;
    ensure!(refusal.contains(source) && refusal.contains("kernel's own"), "{refusal}");
    Ok(Verdict::Stopped("refused at create".to_owned()))
}

/// Runs a shell command among the nest's mounts.
fn sh(scene: &Scene<'_>, command: &str) -> Result<()> {
    let status = scene.daemon.nest().command("sh").args(["-c", command]).status()?;
    ensure!(status.success(), "{command}: {status}");
    Ok(())
}

/// A volume with another mount of the node's in it.
fn with_a_mount_below(scene: &Scene<'_>, kind: &str) -> Result<Verdict> {
    let place = format!("/run/trick-{kind}-{}", scene.wasi);
    sh(
        scene,
        &format!(
            "mkdir -p {place} && mount -t tmpfs tmpfs {place} && mkdir {place}/in && mount -t {kind} {kind} {place}/in"
        ),
    )?;
    let verdict = bind(scene, &place);
    sh(scene, &format!("umount {place}/in && umount {place} && rmdir {place}"))?;
    verdict
}

/// The guest opens `special` in the volume; it must be told an error, soon.
fn open(scene: &Scene<'_>) -> Result<Verdict> {
    let mut guest = scene.guest("raw").args(["read", &scene.raw_at("special")]).spawn()?;
    let ended = until("the guest ends", 20, || guest.ended());
    if ended.is_err() {
        guest.kill("SIGKILL")?;
        guest.outcome()?;
        return Ok(Verdict::Escaped("the host waits for it for ever".to_owned()));
    }
    let outcome = guest.outcome()?;
    match outcome.stdout.starts_with("error: ") {
        true => scene.judge(&outcome),
        false => Ok(Verdict::Escaped(outcome.stdout)),
    }
}

fn special(scene: &Scene<'_>, mknod: &[&str]) -> Result<Verdict> {
    let status = Command::new("mknod").arg(scene.volume().join("special")).args(mknod).status()?;
    ensure!(status.success(), "mknod {mknod:?}: {status}");
    open(scene)
}

const KERNEL: Control = Control::None("the kernel's files are refused before a guest exists");
const DEVICE: Control = Control::None("every mount of a guest is without devices");

pub const ATTEMPTS: &[Attempt] = &[
    Attempt { name: "has /proc as a volume", on: ONE, control: KERNEL, act: |scene| bind(scene, "/proc") },
    Attempt {
        name: "has /proc/sys as a volume",
        on: ONE,
        control: KERNEL,
        act: |scene| bind(scene, "/proc/sys"),
    },
    Attempt {
        name: "has /proc/self as a volume",
        on: ONE,
        control: KERNEL,
        act: |scene| bind(scene, "/proc/self/"),
    },
    Attempt {
        name: "has the file /proc/sys/kernel/core_pattern as a volume",
        on: ONE,
        control: KERNEL,
        act: |scene| bind(scene, "/proc/sys/kernel/core_pattern"),
    },
    Attempt { name: "has /sys as a volume", on: ONE, control: KERNEL, act: |scene| bind(scene, "/sys") },
    Attempt {
        name: "has /sys/kernel as a volume",
        on: ONE,
        control: KERNEL,
        act: |scene| bind(scene, "/sys/kernel"),
    },
    Attempt {
        name: "has a symlink to /proc as a volume",
        on: ONE,
        control: KERNEL,
        act: |scene| {
            let link = scene.volume().join("link");
            std::os::unix::fs::symlink("/proc", &link)?;
            bind(scene, &link.display().to_string())
        },
    },
    Attempt {
        name: "has a volume in which a procfs is mounted",
        on: ONE,
        control: KERNEL,
        act: |scene| with_a_mount_below(scene, "proc"),
    },
    Attempt {
        name: "has a volume in which a sysfs is mounted",
        on: ONE,
        control: KERNEL,
        act: |scene| with_a_mount_below(scene, "sysfs"),
    },
    Attempt {
        name: "has a volume in which a mqueue is mounted",
        on: ONE,
        control: KERNEL,
        act: |scene| with_a_mount_below(scene, "mqueue"),
    },
    Attempt {
        name: "has the node's /dev as a volume, or reads a device of it",
        on: ALL,
        control: DEVICE,
        act: |scene| {
            let run = scene.daemon.run(&scene.wasi.file("raw")).mount(Path::new("/dev"), DATA, "rbind:rw");
            let read = run.args(["read", "data/zero"]).outcome()?;
            // It has mounts of the kernel's below it on most nodes, and a device in it is refused on all.
            Ok(match read.stdout.starts_with("error: ") || read.stderr.contains("kernel's own") {
                true => Verdict::Stopped("refused".to_owned()),
                false => Verdict::Escaped(read.stdout),
            })
        },
    },
    Attempt {
        name: "finds what is mounted at /dev",
        on: ALL,
        control: Control::None("mounts at /dev are dropped"),
        act: |scene| {
            let run =
                scene.daemon.run(&scene.wasi.file("files")).mount(&scene.outside(), "/dev/shm", "rbind:rw");
            scene.judge(&run.args(["read", "/dev/shm/canary"]).outcome()?)
        },
    },
    Attempt {
        name: "opens a character device in a volume",
        on: ALL,
        control: DEVICE,
        act: |scene| special(scene, &["c", "1", "5"]),
    },
    Attempt {
        name: "opens a block device in a volume",
        on: ALL,
        control: DEVICE,
        act: |scene| special(scene, &["b", "7", "0"]),
    },
    Attempt {
        name: "opens a FIFO in a volume, to which nobody writes",
        on: ALL,
        control: Control::None("whoever opens it waits; the attempt's target is the host's time"),
        act: |scene| special(scene, &["p"]),
    },
    Attempt {
        name: "opens a socket in a volume",
        on: ALL,
        control: Control::None("a socket is connected to, and no guest can"),
        act: |scene| {
            let _listener = UnixListener::bind(scene.volume().join("special"))?;
            open(scene)
        },
    },
    Attempt {
        name: "reads the volume of another container by its place",
        on: ALL,
        control: Control::Open,
        act: |scene| {
            let other = scene.daemon.run(&scene.wasi.file("sleep"));
            let mut other = other.mount(&scene.outside(), "/other", "rbind:ro").spawn()?;
            other.says("sleeping")?;
            let run = match scene.open {
                true => scene.guest("files").mount(&scene.outside(), "/other", "rbind:ro"),
                false => scene.guest("files"),
            };
            let verdict = scene.judge(&run.args(["read", "/other/canary"]).outcome()?);
            other.kill("SIGKILL")?;
            other.outcome()?;
            verdict
        },
    },
];
