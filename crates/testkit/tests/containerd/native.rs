//! Native containers without a pod, as `ctr` makes them, where the node's config lets them run.

use anyhow::Result;
use image::build::Node;
use image::{Format, ImageBuilder};
use testkit::{Containerd, Run};

const ALLOW: &str = "native = \"allow\"\n";

fn busybox<'a>(daemon: &'a Containerd, script: &str) -> Result<Run<'a>> {
    let program = std::fs::read(std::path::Path::new(&std::env::var("BUSYBOX_BIN")?).join("busybox"))?;
    let image = ImageBuilder::new().format(Format::Rootfs).rootfs_file("/bin/busybox", program, 0o755);
    let image = image.rootfs_node("/bin/sh", Node::Symlink { target: "busybox".into() }).env("PATH", "/bin");
    Ok(daemon.run_image("busybox", image, "sh").args(["-c", script]).config(ALLOW))
}

testkit::stories! {
    fn a_native_container_runs_without_a_pod(daemon) {
        let ran = busybox(daemon, "echo out; echo err >&2; exit 7")?.outcome()?;
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (7, "out\n", "err\n"), "{ran}");
    }

    fn its_stdin_ends(daemon) {
        let ran = busybox(daemon, "busybox cat; echo end")?.stdin(b"to and fro\n").outcome()?;
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "to and fro\nend\n"), "{ran}");
    }

    fn it_has_a_terminal(daemon) {
        let ran = busybox(daemon, "busybox tty; echo err >&2; exit 3")?.in_terminal()?;
        assert_eq!(ran.code, 3, "{ran}");
        assert!(ran.stdout.contains("/dev/pts/") && ran.stdout.contains("err"), "{ran}");
    }

    fn its_end_by_a_signal_has_the_code_of_a_shell(daemon) {
        let mut running = busybox(daemon, "echo up; exec busybox sleep 3600")?.spawn()?;
        running.says("up")?;
        running.kill("SIGKILL")?;
        assert_eq!(running.outcome()?.code, 137);
    }
}
