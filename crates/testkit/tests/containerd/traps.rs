//! What a trap tells: functions, lines, and a core dump where the pod asks for one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Result;
use testkit::{Containerd, Run, mode};

/// A node that allows core dumps.
const ALLOWED: &str = "[limits]\ncoredump = \"16MiB\"\n";

const PLACE: &str = "/dumps/core.wasm";

/// A folder for dumps that anybody may write to.
fn folder(daemon: &Containerd, name: &str) -> Result<PathBuf> {
    let folder = daemon.nest().folder().join(name);
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o777))?;
    Ok(folder)
}

/// A guest that traps, with the folder as `/dumps`.
fn trap<'a>(daemon: &'a Containerd, file: &str, folder: &Path, place: &str) -> Run<'a> {
    daemon
        .run(file)
        .mount(folder, "/dumps", "rbind:rw")
        .annotation("run.wasm/coredump", place)
        .config(ALLOWED)
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

testkit::stories! {
    fn a_backtrace_has_file_and_line_where_the_wasm_has_them(daemon) {
        for file in ["trap-g.wasm", "trap-g.p1.wasm"] {
            let trap = daemon.run(file).outcome()?;
            assert_eq!((trap.code, trap.stdout.as_str()), (134, "about to trap\n"), "{trap}");
            let frames: Vec<&str> = trap.stderr.lines().filter(|line| line.contains("trap-g.c:")).collect();
            assert!(frames.len() >= 2, "{trap}");
            assert!(trap.stderr.contains("inner") && frames.first().is_some_and(|line| line.contains("trap-g.c:8")), "{trap}");
        }
    }

    fn a_trap_leaves_a_core_dump_in_the_volume_that_its_pod_names(daemon) {
        for file in ["trap.wasm", "trap.p1.wasm", "trap.p3.wasm"] {
            let folder = folder(daemon, file)?;
            let trap = trap(daemon, file, &folder, PLACE).flag("--user=65532:65532").outcome()?;
            assert!(trap.code == 134 && trap.stderr.contains("core dump: /dumps/core.wasm, "), "{trap}");
            let dump = fs::read(folder.join("core.wasm"))?;
            assert!(dump.starts_with(b"\0asm\x01\0\0\0") && has(&dump, "corestack"), "{file}");
            assert!(has(&dump, "about to trap"), "the memory of {file} is in it");
            let metadata = fs::metadata(folder.join("core.wasm"))?;
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), 65532);
            assert_eq!(fs::read_dir(&folder)?.count(), 1);
        }
    }

    fn without_the_annotation_there_is_no_core_dump(daemon) {
        let folder = folder(daemon, "dumps")?;
        let trap = daemon.run("trap.wasm").mount(&folder, "/dumps", "rbind:rw").config(ALLOWED).outcome()?;
        assert!(trap.code == 134 && !trap.stderr.contains("core dump"), "{trap}");
        assert_eq!(fs::read_dir(&folder)?.count(), 0);
    }

    fn a_place_for_a_core_dump_that_is_not_the_pods_is_refused(daemon) {
        let folder = folder(daemon, "dumps")?;
        for (place, why) in [
            ("/core.wasm", "`/core.wasm` is in no volume of the container"),
            ("/etc/../dumps/core", "contains `..`"),
            ("dumps/core", "is not absolute"),
        ] {
            let refusal = trap(daemon, "trap.wasm", &folder, place).outcome()?.refusal()?;
            assert!(refusal.contains("annotation run.wasm/coredump: ") && refusal.contains(why), "{refusal}");
        }
        let read_only = || daemon.run("trap.wasm").mount(&folder, "/dumps", "rbind:ro").annotation("run.wasm/coredump", PLACE);
        let refusal = read_only().config(ALLOWED).outcome()?.refusal()?;
        assert!(refusal.contains("in the volume at `/dumps`, which is read-only"), "{refusal}");
        let refusal = trap(daemon, "trap.wasm", &folder, PLACE).config("").outcome()?.refusal()?;
        assert!(refusal.contains("this node allows no core dumps; `limits.coredump` of its config"), "{refusal}");
        assert_eq!(fs::read_dir(&folder)?.count(), 0);
    }

    fn a_core_dump_goes_where_the_pods_user_may_write_and_nowhere_else(daemon) {
        let outside = daemon.nest().folder().join("outside");
        fs::write(&outside, "of the node")?;
        fs::set_permissions(&outside, PermissionsExt::from_mode(0o666))?;
        let folder = folder(daemon, "dumps")?;
        symlink(&outside, folder.join("link"))?;
        symlink(daemon.nest().folder(), folder.join("out"))?;
        fs::create_dir(folder.join("roots"))?;
        fs::set_permissions(folder.join("roots"), PermissionsExt::from_mode(0o755))?;
        for place in ["/dumps/link", "/dumps/out/outside", "/dumps/roots/core", "/dumps/none/core"] {
            for file in ["trap.wasm", "trap.p1.wasm"] {
                let trap = trap(daemon, file, &folder, place).flag("--user=65532:65532").outcome()?;
                let sentence = format!("core dump: none, {place} cannot be written: ");
                assert!(trap.code == 134 && trap.stderr.contains(&sentence), "{trap}");
            }
        }
        assert_eq!(fs::read_to_string(&outside)?, "of the node");
        assert_eq!(fs::read_dir(folder.join("roots"))?.count(), 0);
    }

    fn neighbours_do_not_notice_a_core_dump(daemon) {
        let folder = folder(daemon, "dumps")?;
        let mut ticker = daemon.run("ticker.wasm").spawn()?;
        ticker.says("tick 1\n")?;
        let trap = trap(daemon, "trap.p1.wasm", &folder, PLACE).outcome()?;
        assert!(trap.stderr.contains("core dump: /dumps/core.wasm, "), "{trap} {}", mode::is_shared());
        let ticks = ticker.stdout().lines().count();
        testkit::eventually("it ticks on", 30, || Ok(ticker.stdout().lines().count() > ticks + 3))?;
        ticker.kill("SIGKILL")?;
        assert_eq!(ticker.outcome()?.code, 137);
    }
}
