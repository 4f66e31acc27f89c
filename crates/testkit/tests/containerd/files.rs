//! Volumes, and roots that hold nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use image::{Format, ImageBuilder};
use testkit::guest;

/// The guest `files` in a root file system with folders in which it may try to make links.
fn files_in_a_rootfs() -> anyhow::Result<ImageBuilder> {
    let image =
        ImageBuilder::new().format(Format::Rootfs).rootfs_file("/files.wasm", guest("files.wasm")?, 0o644);
    Ok(image.rootfs_file("/tmp/note", "of the image", 0o644).entrypoint(["/files.wasm"]))
}

testkit::stories! {
    fn a_volume_is_read_and_written(daemon) {
        let folder = daemon.nest().folder().join("volume");
        fs::create_dir(&folder)?;
        fs::write(folder.join("question"), "what is it")?;
        for file in ["files.wasm", "files.p1.wasm", "files.p3.wasm"] {
            let files = || daemon.run(file).mount(&folder, "/data", "rbind:rw");
            assert_eq!(files().args(["read", "/data/question"]).outcome()?.stdout, "what is it\n");
            assert_eq!(files().args(["write", "/data/answer", "forty-two"]).outcome()?.stdout, "ok\n");
            assert_eq!(files().args(["append", "/data/answer", ", they say"]).outcome()?.stdout, "ok\n");
            assert_eq!(fs::read_to_string(folder.join("answer"))?, "forty-two, they say");
            assert_eq!(files().args(["remove", "/data/answer"]).outcome()?.stdout, "ok\n");
        }
    }

    fn a_read_only_volume_is_not_written(daemon) {
        let folder = daemon.nest().folder().join("volume");
        fs::create_dir(&folder)?;
        fs::write(folder.join("fixed"), "as it was")?;
        for file in ["files.wasm", "files.p1.wasm", "files.p3.wasm"] {
            let files = || daemon.run(file).mount(&folder, "/data", "rbind:ro");
            assert_eq!(files().args(["read", "/data/fixed"]).outcome()?.stdout, "as it was\n");
            for words in [["write", "/data/fixed", "x"].as_slice(), &["remove", "/data/fixed"], &["mkdir", "/data/new"]] {
                let refused = files().args(words.iter().copied()).outcome()?;
                assert!(refused.code == 1 && refused.stdout.starts_with("error: "), "{words:?}: {refused}");
            }
        }
        assert_eq!(fs::read_to_string(folder.join("fixed"))?, "as it was");
        assert_eq!(fs::read_dir(&folder)?.count(), 1);
    }

    fn a_single_file_is_a_volume_too(daemon) {
        let config = daemon.nest().folder().join("config.yaml");
        fs::write(&config, "answer: 42")?;
        let read = daemon.run("files.wasm").mount(&config, "/etc/app/config.yaml", "rbind:ro");
        assert_eq!(read.args(["read", "/etc/app/config.yaml"]).outcome()?.stdout, "answer: 42\n");
        let list = daemon.run("files.wasm").mount(&config, "/etc/app/config.yaml", "rbind:ro");
        assert_eq!(list.args(["list", "/etc/app"]).outcome()?.stdout, "config.yaml\n");
    }

    fn volumes_within_volumes_keep_their_own_flags(daemon) {
        let (outer, inner) = (daemon.nest().folder().join("outer"), daemon.nest().folder().join("inner"));
        fs::create_dir_all(outer.join("inner"))?;
        fs::create_dir(&inner)?;
        let files = || daemon.run("files.wasm").mount(&outer, "/data", "rbind:ro").mount(&inner, "/data/inner", "rbind:rw");
        assert_eq!(files().args(["write", "/data/inner/new", "x"]).outcome()?.stdout, "ok\n");
        assert_eq!(files().args(["write", "/data/new", "x"]).outcome()?.code, 1);
        assert!(inner.join("new").exists() && !outer.join("new").exists());
    }

    fn the_kernel_checks_files_as_the_containers_user(daemon) {
        let folder = daemon.nest().folder().join("volume");
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o755))?;
        fs::write(folder.join("roots"), "secret")?;
        fs::set_permissions(folder.join("roots"), PermissionsExt::from_mode(0o600))?;
        let read = |user: &str| {
            let files = daemon.run("files.wasm").flag(format!("--user={user}")).mount(&folder, "/data", "rbind:rw");
            files.args(["read", "/data/roots"]).outcome()
        };
        assert_eq!(read("0:0")?.stdout, "secret\n");
        assert_eq!(read("65532:65532")?.stdout, "error: PermissionDenied\n");
    }

    fn the_root_of_a_pure_image_is_empty_and_closed(daemon) {
        for file in ["files.wasm", "files.p1.wasm", "files.p3.wasm"] {
            let list = daemon.run(file).args(["list", "/"]).outcome()?;
            assert_eq!((list.code, list.stdout.trim()), (0, ""), "{list}");
            let write = daemon.run(file).args(["write", "/new", "x"]).outcome()?;
            assert!(write.code == 1 && write.stdout.starts_with("error: "), "{write}");
        }
    }

    fn a_root_file_system_is_writable_unless_it_is_read_only(daemon) {
        let image = || files_in_a_rootfs().map(|image| daemon.run_image("files", image, "/files.wasm"));
        assert_eq!(image()?.args(["read", "/tmp/note"]).outcome()?.stdout, "of the image\n");
        assert_eq!(image()?.args(["write", "/tmp/new", "x"]).outcome()?.stdout, "ok\n");
        // Each container has a copy of its own.
        assert_eq!(image()?.args(["list", "/tmp"]).outcome()?.stdout, "note\n");
        let closed = image()?.flag("--read-only").args(["write", "/tmp/new", "x"]).outcome()?;
        assert!(closed.code == 1 && closed.stdout.starts_with("error: "), "{closed}");
        assert_eq!(image()?.flag("--read-only").args(["read", "/tmp/note"]).outcome()?.stdout, "of the image\n");
    }

    fn a_guest_that_tries_to_escape_reaches_nothing(daemon) {
        let volume = daemon.nest().folder().join("volume");
        fs::create_dir(&volume)?;
        for target in ["/etc/passwd", "/etc/hostname"] {
            for file in ["files.wasm", "files.p1.wasm", "files.p3.wasm"] {
                let escape = daemon.run(file).mount(&volume, "/tmp", "rbind:rw").args(["escape", target]).outcome()?;
                assert!(escape.code == 0 && !escape.stdout.contains("REACHED"), "{escape}");
                assert!(escape.stdout.lines().count() >= 7, "{escape}");
            }
            let in_rootfs = daemon.run_image("files", files_in_a_rootfs()?, "/files.wasm");
            let escape = in_rootfs.args(["escape", target]).outcome()?;
            assert!(escape.code == 0 && !escape.stdout.contains("REACHED"), "{escape}");
        }
    }

    fn the_reason_of_an_end_is_written_where_kubelet_reads_it(daemon) {
        let message = daemon.nest().folder().join("termination-log");
        fs::write(&message, "")?;
        let trap = daemon.run("trap.wasm").mount(&message, "/dev/termination-log", "rbind:rw").outcome()?;
        assert_eq!(trap.code, 134, "{trap}");
        let text = fs::read_to_string(&message)?;
        assert!(text.contains("unreachable") && text.contains("inner"), "{text}");
    }
}
