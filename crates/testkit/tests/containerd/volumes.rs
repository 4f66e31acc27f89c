//! Volumes as kubelet makes them: ConfigMaps, Secrets and tokens behind links that it swaps, modes that it projects, files in
//! memory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use anyhow::{Result, ensure};
use testkit::{Bundle, Generation, Wasi, alone, eventually, mode};

/// Writes a volume's content as kubelet does: into a folder of its own, to which `..data` leads by a link that is replaced in
/// one step. The file that the pod sees leads through it.
fn project(volume: &Path, version: &str, content: &str, mode: u32) -> Result<()> {
    let folder = volume.join(format!("..{version}"));
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o755))?;
    fs::write(folder.join("token"), content)?;
    fs::set_permissions(folder.join("token"), PermissionsExt::from_mode(mode))?;
    symlink(format!("..{version}"), volume.join("..data_tmp"))?;
    fs::rename(volume.join("..data_tmp"), volume.join("..data"))?;
    if !volume.join("token").is_symlink() {
        symlink("..data/token", volume.join("token"))?;
    }
    Ok(())
}

fn volume(folder: &Path) -> Result<std::path::PathBuf> {
    let volume = folder.join("volume");
    fs::create_dir(&volume)?;
    fs::set_permissions(&volume, PermissionsExt::from_mode(0o755))?;
    Ok(volume)
}

/// What a guest of that user and those further groups reads of a token of `root:2000`, mode 0440.
fn read_by(uid: u32, gid: u32, groups: &[u32]) -> Result<String> {
    let mut seen = String::new();
    alone(|nest| {
        let volume = volume(nest.folder())?;
        project(&volume, "first", "a token", 0o440)?;
        chown(volume.join("..data/token"), Some(0), Some(2000))?;
        let bundle = Bundle::of(nest, "reader", "files.wasm")?.spec(|spec| {
            spec["process"] = serde_json::json!({
                "args": ["/files.wasm", "read", "/run/token/token"],
                "user": {"uid": uid, "gid": gid, "additionalGids": groups},
                "cwd": "/",
            });
            spec["mounts"] = serde_json::json!([{
                "destination": "/run/token", "source": volume, "type": "bind", "options": ["rbind", "ro"],
            }]);
        })?;
        let shim = bundle.shim(Generation::V3)?;
        shim.run()?;
        seen = shim.output();
        shim.shutdown()
    })?;
    Ok(seen)
}

#[test]
fn a_token_is_read_by_whom_its_mode_and_its_group_name() -> Result<()> {
    assert_eq!(read_by(0, 0, &[])?, "a token\n");
    assert_eq!(read_by(1000, 1000, &[2000])?, "a token\n", "fsGroup is a further group");
    assert_eq!(read_by(1000, 2000, &[])?, "a token\n");
    assert_eq!(read_by(1000, 1000, &[2001])?, "error: PermissionDenied\n");
    Ok(())
}

testkit::stories! {
    fn a_config_map_is_read_through_its_links(daemon) {
        let volume = volume(daemon.nest().folder())?;
        project(&volume, "first", "a token", 0o644)?;
        for wasi in [Wasi::P1, Wasi::P2, Wasi::P3] {
            let files = || daemon.run(&wasi.file("files")).mount(&volume, "/etc/config", "rbind:ro");
            assert_eq!(files().args(["read", "/etc/config/token"]).outcome()?.stdout, "a token\n", "{wasi}");
            assert_eq!(files().args(["list", "/etc/config"]).outcome()?.stdout, "..data\n..first/\ntoken\n", "{wasi}");
        }
    }

    fn a_config_map_that_kubelet_changes_changes_for_a_running_guest(daemon) {
        let volume = volume(daemon.nest().folder())?;
        project(&volume, "first", "the first", 0o644)?;
        for (wasi, version) in [(Wasi::P1, "second"), (Wasi::P2, "third")] {
            let reader = daemon.run(&wasi.file("raw")).mount(&volume, "/etc/config", "rbind:ro");
            let mut reader = reader.args(["until", "etc/config/token", version]).spawn()?;
            reader.says("reading")?;
            project(&volume, version, version, 0o644)?;
            let end = reader.outcome()?;
            assert!(end.code == 0 && end.stdout.ends_with("ok\n"), "{wasi}: {end}");
        }
        // What kubelet removes is gone, and no mount of a container's holds it.
        fs::remove_dir_all(&volume)?;
        ensure!(!volume.exists());
    }

    fn files_in_memory_count_and_nobody_has_more_of_them_than_memory(daemon) {
        let events = daemon.events()?;
        let fill = daemon.run("raw.wasm").id("filled").memory(64 << 20);
        let fill = fill.flag("--mount=type=tmpfs,src=tmpfs,dst=/memory,options=size=256m");
        let fill = fill.args(["fill", "memory/file", "96"]).outcome()?;
        if mode::is_shared() {
            // No cgroup of its own counts them: the volume is no larger than its limit.
            assert!(fill.code == 1 && fill.stdout.contains("insufficient-space"), "{fill}");
            return Ok(());
        }
        assert!(fill.code == 137 && fill.stderr.contains("memory limit of 64.0 MiB reached: the kernel"), "{fill}");
        eventually("it is an OOM", 30, || Ok(events.of_task("filled").contains(&"/tasks/oom".to_owned())))?;
    }
}
