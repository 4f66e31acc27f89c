//! Which mounts of a spec a guest gets, which not, and which refuse the whole container.

#![allow(clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use grants::{DropReason, Tmpfs, Volume, VolumeSource};
use serde_json::{Value, json};
use support::{granted, mounted, refused};

fn bind(destination: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": "bind", "source": "/srv/data", "options": options })
}

fn volume(mount: Value) -> Volume {
    let grants = granted(mounted(mount));
    let [volume] = grants.volumes() else { panic!("one volume:\n{}", grants.table()) };
    volume.clone()
}

fn dropped(mount: Value) -> DropReason {
    let grants = granted(mounted(mount));
    let [dropped] = grants.dropped() else { panic!("one dropped mount:\n{}", grants.table()) };
    assert!(grants.volumes().is_empty());
    dropped.reason
}

#[test]
fn a_bind_is_a_volume_at_a_normalised_place() {
    let volume = volume(bind("//srv/./data//", &["rbind", "rprivate", "rw"]));
    assert_eq!(volume.destination, Path::new("/srv/data"));
    assert_eq!(volume.source, VolumeSource::Bind { path: "/srv/data".into(), recursive: true });
    assert!(!volume.readonly);
}

#[test]
fn of_ro_and_rw_the_last_counts() {
    for (options, readonly) in [
        (["bind", "ro"].as_slice(), true),
        (&["bind", "rro"], true),
        (&["bind"], false),
        (&["ro", "bind", "rw"], false),
        (&["rw", "bind", "ro"], true),
    ] {
        assert_eq!(volume(bind("/data", options)).readonly, readonly, "{options:?}");
    }
}

#[test]
fn bind_without_rbind_leaves_out_the_mounts_below() {
    let recursive = |options: &[&str]| match volume(bind("/data", options)).source {
        VolumeSource::Bind { recursive, .. } => recursive,
        VolumeSource::Tmpfs(_) => panic!("a bind"),
    };
    assert!(!recursive(&["bind"]));
    assert!(recursive(&["rbind"]) && recursive(&["bind", "rbind"]) && recursive(&[]));
}

#[test]
fn the_option_bind_outweighs_the_type() {
    let mount = json!({ "destination": "/data", "type": "none", "source": "/srv/data", "options": ["bind"] });
    assert!(matches!(volume(mount).source, VolumeSource::Bind { .. }));
}

#[test]
fn a_tmpfs_keeps_its_options() {
    let mount = |destination, options: &[&str]| json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options });
    let options = ["nosuid", "noexec", "size=64m", "nr_inodes=1k", "mode=1777", "uid=5", "gid=6", "ro"];
    let expected =
        Tmpfs { size: Some(64 << 20), inodes: Some(1024), mode: Some(0o1777), uid: Some(5), gid: Some(6) };
    let scratch = volume(mount("/scratch", &options));
    assert_eq!((scratch.source, scratch.readonly), (VolumeSource::Tmpfs(expected), true));
    assert!(
        matches!(volume(mount("/run", &["size=1m"])).source, VolumeSource::Tmpfs(_)),
        "one that was asked for"
    );
    for option in ["size=50%", "size=", "size=99999999999g", "mode=9", "uid=-1", "huge=always", "tmpcopyup"] {
        let sentence = refused(mounted(mount("/scratch", &[option])));
        assert!(sentence.contains(&format!("option `{option}` of a tmpfs is not supported")), "{sentence}");
    }
}

#[test]
fn views_of_the_kernel_and_devices_are_dropped() {
    for kind in ["proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts"] {
        assert_eq!(dropped(json!({ "destination": "/x", "type": kind, "source": kind })), DropReason::Kernel);
    }
    for place in ["/dev", "/dev/shm", "/dev/./sda", "/dev//fuse"] {
        assert_eq!(dropped(bind(place, &["rbind"])), DropReason::Device);
    }
    assert_eq!(volume(bind("/devices", &[])).destination, Path::new("/devices"));
}

#[test]
fn the_termination_message_goes_where_the_pod_says() {
    let at = |path: &str, mount: &str| {
        granted(json!({
            "annotations": { "io.kubernetes.container.terminationMessagePath": path },
            "mounts": [bind(mount, &["rbind"])],
        }))
    };
    assert_eq!(at("/tmp/reason", "/tmp/reason").termination_message(), Some(Path::new("/srv/data")));
    assert!(at("/tmp/reason", "/tmp/reason").volumes().is_empty());
    assert_eq!(at("/tmp/reason", "/dev/termination-log").termination_message(), None);
    assert_eq!(at("", "/dev/termination-log").termination_message(), None);
    let default = granted(mounted(bind("/dev/termination-log", &["rbind"])));
    assert_eq!(default.termination_message(), Some(Path::new("/srv/data")));
    let sentence = refused(support::annotated("io.kubernetes.container.terminationMessagePath", "reason"));
    assert!(sentence.contains("`reason` is not absolute; a right one is"), "{sentence}");
}

#[test]
fn what_cannot_be_mounted_is_refused_with_the_place_and_the_cure() {
    let with = |key: &str, value: Value| {
        let mut mount = bind("/data", &["rbind"]);
        mount[key] = value;
        mount
    };
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    for (mount, expected) in [
        (bind("/", &[]), "the mount at `/`: a volume cannot replace the root filesystem"),
        (bind("/./", &[]), "the mount at `/./`: a volume cannot replace the root filesystem"),
        (bind("/a/../b", &[]), "the mount at `/a/../b`: its destination contains `..`"),
        (bind("data", &[]), "the mount at `data`: its destination is not absolute"),
        (bind("", &[]), "the mount at ``: its destination is not absolute"),
        (bind("/a\u{0}b", &[]), "the mount at `/a\\0b`: its destination has a NUL byte"),
        (
            bind("/data", &["rbind", "rslave"]),
            "the mount at `/data`: option `rslave` (`mountPropagation`) is not supported",
        ),
        (bind("/data", &["rbind", "rshared"]), "the mount at `/data`: option `rshared` (`mountPropagation`)"),
        (
            bind("/data", &["ridmap"]),
            "the mount at `/data`: option `ridmap` is not supported by this release",
        ),
        (
            bind("/data", &["nosymfollow"]),
            "the mount at `/data`: option `nosymfollow` of a bind is not supported",
        ),
        (with("source", json!("data")), "the mount at `/data`: its source `data` is not an absolute path"),
        (with("source", Value::Null), "the mount at `/data`: its source `` is not an absolute path"),
        (with("uidMappings", mapping.clone()), "the mount at `/data`: it is id-mapped"),
        (with("gidMappings", mapping), "the mount at `/data`: it is id-mapped"),
        (
            json!({ "destination": "/data", "type": "nfs" }),
            "the mount at `/data`: type `nfs` is not supported",
        ),
        (
            json!({ "destination": "/data" }),
            "the mount at `/data`: it has neither a type nor the option `bind`",
        ),
    ] {
        let sentence = refused(mounted(mount));
        assert!(sentence.starts_with(expected), "{sentence}");
    }
}
