//! What an exec runs, and what that has.

use image::{Format, ImageBuilder};
use testkit::{Containerd, Run, guest};

/// A pure image of several programs; the first is the container's.
fn image(files: &[&str]) -> anyhow::Result<ImageBuilder> {
    files.iter().try_fold(ImageBuilder::new(), |image, file| Ok(image.wasm(*file, guest(file)?)))
}

/// A container that sleeps, of an image with other programs.
fn sleeping<'a>(daemon: &'a Containerd, name: &str, others: &[&str]) -> anyhow::Result<Run<'a>> {
    let files: Vec<&str> = std::iter::once("sleep.wasm").chain(others.iter().copied()).collect();
    Ok(daemon.run_image(name, image(&files)?, "/sleep.wasm").args(["3600"]))
}

testkit::stories! {
    fn an_exec_is_a_fresh_instance_of_the_containers_component_with_other_arguments(daemon) {
        for file in ["sleep.wasm", "sleep.p1.wasm", "sleep.p3.wasm"] {
            let mut sleep = daemon.run(file).spawn()?;
            sleep.says("sleeping")?;
            for _ in 0..2 {
                let exec = daemon.exec(sleep.id()).args(["nap", "0"]).outcome()?;
                assert_eq!((exec.code, exec.stdout.as_str()), (0, "sleeping\nwoke\n"), "{file} {exec}");
            }
            assert_eq!(sleep.stdout(), "sleeping\n", "the container itself goes on");
            sleep.kill("SIGTERM")?;
            assert_eq!(sleep.outcome()?.code, 143);
        }
    }

    fn an_exec_may_run_other_wasm_of_the_image(daemon) {
        let mut sleep = sleeping(daemon, "tools", &["exit.wasm", "exit.p1.wasm", "library.wasm"])?.spawn()?;
        sleep.says("sleeping")?;
        for file in ["/exit.wasm", "/exit.p1.wasm"] {
            assert_eq!(daemon.exec(sleep.id()).args([file, "7"]).outcome()?.code, 7, "{file}");
        }
        let called = daemon.exec(sleep.id()).args(["/library.wasm#run-me"]).outcome()?;
        assert_eq!((called.code, called.stdout.as_str()), (0, "run-me was called\n"), "{called}");
        let missing = daemon.exec(sleep.id()).args(["/nothing.wasm"]).outcome()?;
        assert!(missing.code != 0 && missing.stderr.contains("nothing.wasm"), "{missing}");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }

    fn an_exec_may_run_other_wasm_of_the_root_file_system_and_a_function_of_the_containers_own(daemon) {
        let image = ImageBuilder::new().format(Format::Rootfs).entrypoint(["/bin/sleep.wasm"]);
        let image = image.rootfs_file("/library.wasm", guest("library.wasm")?, 0o644);
        let image = image.rootfs_file("/bin/sleep.wasm", guest("sleep.wasm")?, 0o644);
        let image = image.rootfs_file("/bin/hello.wasm", guest("hello.wasm")?, 0o644);
        let mut sleep = daemon.run_image("rootfs", image, "/bin/sleep.wasm").args(["3600"]).spawn()?;
        sleep.says("sleeping")?;
        for _ in 0..2 {
            let hello = daemon.exec(sleep.id()).args(["/bin/hello.wasm"]).outcome()?;
            assert_eq!((hello.code, hello.stdout.as_str()), (0, "hello from run-wasm\n"), "{hello}");
        }
        let called = daemon.exec(sleep.id()).args(["/library.wasm#run-me"]).outcome()?;
        assert_eq!(called.stdout, "run-me was called\n", "{called}");
        let refused = daemon.exec(sleep.id()).args(["#walk-me"]).outcome()?;
        assert!(refused.code != 0 && refused.stderr.contains("walk-me"), "{refused}");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }

    fn an_exec_has_the_containers_environment_files_and_no_more(daemon) {
        let data = daemon.nest().folder().join("data");
        std::fs::create_dir(&data)?;
        std::fs::write(data.join("note"), "of the pod\n")?;
        let run = sleeping(daemon, "granted", &["env.wasm", "files.wasm", "sockets.wasm"])?;
        let mut sleep = run.env("COLOUR", "blue").mount(&data, "/data", "rbind:ro").spawn()?;
        sleep.says("sleeping")?;
        let exec = |words: &[&str]| daemon.exec(sleep.id()).args(words.iter().copied()).outcome();
        let environment = exec(&["/env.wasm"])?;
        assert!(environment.stdout.contains("COLOUR=blue\n") && !environment.stdout.contains(testkit::NODES_OWN), "{environment}");
        assert_eq!(exec(&["/files.wasm", "read", "/data/note"])?.stdout.trim_end(), "of the pod");
        let written = exec(&["/files.wasm", "write", "/data/note", "x"])?;
        assert!(written.code == 1 && written.stdout.contains("error"), "{written}");
        let escaped = exec(&["/files.wasm", "escape", "/etc/hostname"])?;
        assert_eq!(escaped.code, 0, "{escaped}");
        let connected = exec(&["/sockets.wasm", "connect", "127.0.0.1:9"])?;
        assert!(connected.code != 0, "{connected}");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }

    fn what_an_exec_writes_into_a_volume_in_memory_its_container_reads(daemon) {
        let run = sleeping(daemon, "memory", &["files.wasm"])?;
        let mut sleep = run.flag("--mount=type=tmpfs,src=tmpfs,dst=/scratch,options=rw").spawn()?;
        sleep.says("sleeping")?;
        let exec = |words: &[&str]| daemon.exec(sleep.id()).args(words.iter().copied()).outcome();
        exec(&["/files.wasm", "write", "/scratch/a", "shared"])?.success()?;
        assert_eq!(exec(&["/files.wasm", "read", "/scratch/a"])?.stdout.trim_end(), "shared");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }

    fn an_exec_has_streams_of_its_own(daemon) {
        let mut sleep = sleeping(daemon, "streams", &["echo.wasm", "stderr.wasm"])?.spawn()?;
        sleep.says("sleeping")?;
        let text = "all of it\n".repeat(50_000);
        let echo = daemon.exec(sleep.id()).args(["/echo.wasm"]).stdin(text.clone()).outcome()?;
        assert!(echo.code == 0 && echo.stdout == text, "{echo}");
        let apart = daemon.exec(sleep.id()).args(["/stderr.wasm"]).outcome()?;
        assert!(!apart.stderr.is_empty() && sleep.stderr().is_empty(), "{apart}");
        let shown = daemon.exec(sleep.id()).args(["nap", "0"]).in_terminal()?;
        // ctr leaves the terminal around it as it was, which adds a return of its own.
        let lines: Vec<&str> = shown.stdout.split_terminator("\r\r\n").collect();
        assert_eq!((shown.code, lines.as_slice()), (0, ["sleeping", "woke"].as_slice()), "{shown}");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }
}
