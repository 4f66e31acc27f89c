//! What containerd pulls is compiled before anybody wants it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread::JoinHandle;

use anyhow::Result;
use image::{Format, ImageBuilder};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, flock};
use prewarm::Options;
use testkit::{Containerd, eventually, guest, shim_binary};
use tokio::sync::oneshot;

use super::images::cached;

/// What a node's agent does, in this process. It ends when it is dropped.
struct Agent {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    fn start(daemon: &Containerd, most_bytes: u64) -> Result<Agent> {
        Agent::with_shim(daemon, most_bytes, None)
    }

    fn with_shim(daemon: &Containerd, most_bytes: u64, shim: Option<PathBuf>) -> Result<Agent> {
        let options = Options {
            socket: daemon.nest().see("/run/containerd/containerd.sock"),
            namespace: daemon.nest().name().to_owned(),
            modes: "normal, shared".to_owned(),
            most_bytes,
            shim,
            ..Options::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    never = prewarm::run(options, |said| eprintln!("{said}")) => match never {},
                    _ = ended => {}
                }
            });
        });
        Ok(Agent { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.end.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("an agent panicked");
        }
    }
}

/// More than any image of these tests has.
const PLENTY: u64 = 1 << 30;

fn has_compiled(daemon: &Containerd, entries: usize) -> Result<()> {
    eventually("the image is compiled", 60, || Ok(cached(daemon).is_ok_and(|found| found.len() == entries)))
}

/// Of an agent, too, once its work is done.
fn has_no_containers(daemon: &Containerd) -> Result<()> {
    eventually("no container is left", 30, || {
        let count = |kind| Ok::<_, anyhow::Error>(daemon.ctr([kind, "ls", "-q"])?.success()?.lines().count());
        Ok(count("tasks")? == 0 && count("containers")? == 0)
    })
}

/// What an agent's shim waits for that wants to compile: the locks of all who do so idly.
fn lock_of_the_idle(daemon: &Containerd) -> Result<File> {
    let locks = daemon.nest().see("/var/lib/run-wasm/aot/locks");
    let locks = File::options().read(true).write(true).open(locks)?;
    let all = flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: 1 << 32,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&locks, FcntlArg::F_OFD_SETLK(&all))?;
    Ok(locks)
}

testkit::stories! {
    fn a_container_waits_for_no_idle_compiler(daemon) {
        daemon.run("hello-c.wasm").outcome()?;
        daemon.ctr(["images", "rm", "--sync", "localhost/hello-c.wasm:1"])?.success()?;
        let compiled = cached(daemon)?.len();
        let idle = lock_of_the_idle(daemon)?;
        let agent = Agent::start(daemon, PLENTY)?;
        daemon.import("hello.wasm", ImageBuilder::new().wasm("hello.wasm", guest("hello.wasm")?))?;
        eventually("the agent has the image compiled", 30, || {
            Ok(daemon.ctr(["containers", "ls", "-q"])?.success()?.contains("run-wasm-prewarm-"))
        })?;
        assert_eq!(daemon.run("hello.wasm").outcome()?.stdout, "hello from run-wasm\n");
        assert_eq!(cached(daemon)?.len(), compiled + 1, "the container's own, while the agent's shim waits");
        drop(idle);
        has_compiled(daemon, compiled + 2)?;
        has_no_containers(daemon)?;
        drop(agent);
    }

    fn an_image_is_compiled_when_it_comes_and_its_first_start_compiles_nothing(daemon) {
        let agent = Agent::start(daemon, PLENTY)?;
        daemon.import("hello.wasm", ImageBuilder::new().wasm("hello.wasm", guest("hello.wasm")?))?;
        has_compiled(daemon, 2)?;
        has_no_containers(daemon)?;
        let compiled = cached(daemon)?;
        assert_eq!(daemon.run("hello.wasm").outcome()?.stdout, "hello from run-wasm\n");
        assert_eq!(cached(daemon)?, compiled, "for this mode and for the other");
        drop(agent);
    }

    fn images_that_were_there_before_are_compiled_once_and_what_another_agent_left_is_taken_away(daemon) {
        let image = daemon.import("hello.wasm", ImageBuilder::new().wasm("hello.wasm", guest("hello.wasm")?))?;
        daemon.import("again", ImageBuilder::new().wasm("hello.wasm", guest("hello.wasm")?))?;
        // A pod's label and an image's become a container's.
        for id in ["run-wasm-prewarm-left", "somebodys-own"] {
            let words = ["containers", "create", "--runtime", "io.containerd.run.v2", "--label", "run.wasm/prewarm=x", &image, id];
            daemon.ctr(words)?.success()?;
        }
        for _ in 0..2 {
            let agent = Agent::start(daemon, PLENTY)?;
            has_compiled(daemon, 2)?;
            eventually("what the agent left is gone, and that alone", 30, || {
                Ok(daemon.ctr(["containers", "ls", "-q"])?.success()?.trim() == "somebodys-own")
            })?;
            drop(agent);
        }
        daemon.ctr(["containers", "rm", "somebodys-own"])?.success()?;
    }

    fn the_shim_that_is_said_compiles_wherever_it_is(daemon) {
        let folder = daemon.nest().folder().join("elsewhere");
        fs::create_dir(&folder)?;
        let (shim, asked) = (folder.join("containerd-shim-run-v2"), folder.join("asked"));
        let script = format!("#!/bin/sh\n: > {}\nexec {} \"$@\"\n", asked.display(), shim_binary()?.display());
        fs::write(&shim, script)?;
        fs::set_permissions(&shim, fs::Permissions::from_mode(0o755))?;
        let agent = Agent::with_shim(daemon, PLENTY, Some(shim))?;
        daemon.import("hello.wasm", ImageBuilder::new().wasm("hello.wasm", guest("hello.wasm")?))?;
        has_compiled(daemon, 2)?;
        has_no_containers(daemon)?;
        assert!(asked.exists(), "containerd took the shim of its PATH");
        drop(agent);
    }

    fn what_is_not_wasm_or_too_large_is_left_to_the_first_start(daemon) {
        let small = guest("hello-c.wasm")?;
        let large = guest("hello-js.wasm")?;
        assert!(large.len() > small.len());
        let agent = Agent::start(daemon, u64::try_from(small.len())?)?;
        let rootfs = ImageBuilder::new().format(Format::Rootfs).rootfs_file("/hello.wasm", guest("hello.wasm")?, 0o644);
        daemon.import("rootfs", rootfs.entrypoint(["/hello.wasm"]))?;
        daemon.import("hello-js.wasm", ImageBuilder::new().wasm("hello-js.wasm", large))?;
        // It comes last, so the others had their turn.
        daemon.import("hello-c.wasm", ImageBuilder::new().wasm("hello-c.wasm", small))?;
        has_compiled(daemon, 2)?;
        has_no_containers(daemon)?;
        drop(agent);
        assert_eq!(cached(daemon)?.len(), 2);
    }

    fn an_agent_outlives_its_containerd(daemon) {
        let agent = Agent::start(daemon, PLENTY)?;
        daemon.import("hello-c.wasm", ImageBuilder::new().wasm("hello-c.wasm", guest("hello-c.wasm")?))?;
        has_compiled(daemon, 2)?;
        has_no_containers(daemon)?;
        daemon.stop()?;
        daemon.begin()?;
        daemon.import("hello.wasm", ImageBuilder::new().wasm("hello.wasm", guest("hello.wasm")?))?;
        has_compiled(daemon, 4)?;
        has_no_containers(daemon)?;
        drop(agent);
    }

    fn a_pod_of_a_kubelet_cannot_ask_for_it(daemon) {
        let run = daemon.run("hello.wasm").annotation("run.wasm/prewarm", "normal");
        let refused = run.annotation("io.kubernetes.cri.container-type", "container").outcome()?;
        assert!(refused.code != 0 && refused.stderr.contains("leave it out of pods"), "{refused}");
    }
}
