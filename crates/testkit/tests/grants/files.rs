//! The root file system and volumes.

use std::fs;

use anyhow::{Result, ensure};
use image::{Format, ImageBuilder};
use testkit::{Run, guest};

use crate::row::{ALL, Place, Row};

pub const ROOT: Row = Row {
    grant: "image's root file system",
    on: ALL,
    granted: |place| {
        let read = in_a_rootfs(place)?.args(["read", "/tmp/note"]).outcome()?;
        let write = in_a_rootfs(place)?.args(["write", "/tmp/new", "x"]).outcome()?;
        ensure!(
            (read.stdout.as_str(), write.stdout.as_str()) == ("of the image\n", "ok\n"),
            "{read} {write}"
        );
        Ok("/tmp/note is read, /tmp/new is written".to_owned())
    },
    not_granted: |place| {
        let closed = in_a_rootfs(place)?.flag("--read-only").args(["write", "/tmp/new", "x"]).outcome()?;
        ensure!(closed.code == 1 && closed.stdout.starts_with("error: "), "{closed}");
        let empty = place.run("files").args(["list", "/"]).outcome()?;
        ensure!(empty.code == 0 && empty.stdout.trim().is_empty(), "{empty}");
        Ok("readOnlyRootFilesystem: not written; pure Wasm: empty".to_owned())
    },
};

fn in_a_rootfs<'a>(place: &Place<'a>) -> Result<Run<'a>> {
    let file = place.wasi.file("files");
    let path = format!("/{file}");
    let image = ImageBuilder::new()
        .format(Format::Rootfs)
        .rootfs_file(&path, guest(&file)?, 0o644)
        .rootfs_file("/tmp/note", "of the image", 0o644)
        .entrypoint([path.as_str()]);
    Ok(place.daemon.run_image(&format!("rootfs-{file}"), image, &path))
}

pub const VOLUMES: Row = Row {
    grant: "volumeMounts",
    on: ALL,
    granted: |place| {
        let folder = place.folder()?;
        let write = place.run("files").mount(&folder, "/data", "rbind:rw").args(["write", "/data/new", "x"]);
        write.outcome()?.success()?;
        ensure!(fs::read_to_string(folder.join("new"))? == "x");
        Ok("/data/new is written in the volume".to_owned())
    },
    not_granted: |place| {
        let folder = place.folder()?;
        let write = place.run("files").mount(&folder, "/data", "rbind:ro").args(["write", "/data/new", "x"]);
        let write = write.outcome()?;
        ensure!(write.code == 1 && fs::read_dir(&folder)?.count() == 0, "{write}");
        let none = place.run("files").args(["read", "/data/new"]).outcome()?;
        ensure!(none.stdout == "error: NotFound\n", "{none}");
        Ok("readOnly: not written; no volume: NotFound".to_owned())
    },
};
