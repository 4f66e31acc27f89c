//! argv, environment, identity.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use anyhow::{Result, ensure};

use crate::row::{ALL, Place, Row};

pub const ARGS: Row = Row {
    grant: "command, args",
    on: ALL,
    granted: |place| {
        let args = place.run("args").args(["one", "two words"]).outcome()?.success()?;
        ensure!(args.ends_with("arg[1]=one\narg[2]=two words\n"), "{args}");
        Ok("argv is the program, `one` and `two words`".to_owned())
    },
    not_granted: |place| {
        let args = place.run("args").outcome()?.success()?;
        ensure!(args.lines().count() == 1, "{args}");
        Ok("argv is the image's: the program".to_owned())
    },
};

pub const ENV: Row = Row {
    grant: "env, envFrom",
    on: ALL,
    granted: |place| {
        let env = place.run("env").env("GREETING", "good morning").outcome()?.success()?;
        ensure!(env.lines().any(|line| line == "GREETING=good morning"), "{env}");
        Ok("GREETING=good morning".to_owned())
    },
    not_granted: |place| {
        let env = place.run("env").outcome()?.success()?;
        // containerd gives every container PATH; what it has in its own environment stays there.
        ensure!(env.lines().all(|line| line.starts_with("PATH=")), "{env}");
        Ok(format!("PATH alone, no {}", testkit::NODES_OWN))
    },
};

/// The group of the volume's files, as `fsGroup` gives it to them.
const GROUP: u32 = 2000;

pub const USER: Row = Row {
    grant: "runAsUser, fsGroup",
    on: ALL,
    granted: |place| {
        let seen = read_as(place, GROUP)?;
        ensure!(seen == "of the group\n", "{seen}");
        Ok(format!("1000:{GROUP} reads a file of root:{GROUP}, mode 0640"))
    },
    not_granted: |place| {
        let seen = read_as(place, GROUP + 1)?;
        ensure!(seen == "error: PermissionDenied\n", "{seen}");
        Ok(format!("1000:{} does not: PermissionDenied", GROUP + 1))
    },
};

fn read_as(place: &Place<'_>, group: u32) -> Result<String> {
    let folder = place.folder()?;
    let file = folder.join("file");
    fs::write(&file, "of the group")?;
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o755))?;
    fs::set_permissions(&file, PermissionsExt::from_mode(0o640))?;
    chown(&file, Some(0), Some(GROUP))?;
    let run = place.run("files").flag(format!("--user=1000:{group}")).mount(&folder, "/data", "rbind:ro");
    Ok(run.args(["read", "/data/file"]).outcome()?.stdout)
}
