//! Standard streams: pipes, terminals, files, logging binaries.

use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A logging binary after containerd's convention: streams on 3 and 4, closes 5 when ready.
const LOGGER: &str = "#!/bin/bash
exec 5>&-
cat <&3 >\"$2.out\" &
cat <&4 >\"$2.err\" &
wait
# The shim has nothing more to do by now.
sleep 1
echo \"$CONTAINER_NAMESPACE $CONTAINER_ID\" >\"$2.names\"
mv \"$2.names\" \"$2.done\"
";

testkit::stories! {
    fn stdin_ends(daemon) {
        for file in ["echo.wasm", "echo.p1.wasm", "echo.p3.wasm"] {
            let echo = daemon.run(file).stdin("hi\n").outcome()?;
            assert_eq!((echo.code, echo.stdout.as_str()), (0, "hi\n"), "{echo}");
        }
    }

    fn an_empty_stdin_ends_although_ctr_has_closed_it_before_the_shim_is_asked(daemon) {
        for (file, profile) in [
            ("echo.wasm", "standard"),
            ("echo.p1.wasm", "standard"),
            ("echo.p3.wasm", "standard"),
            ("echo.wasm", "strict"),
            ("echo.p1.wasm", "strict"),
        ] {
            let echo = || daemon.run(file).annotation("run.wasm/profile", profile).annotation("run.wasm/random", "seed:1");
            // `/dev/null`, and a pipe that nobody writes to.
            for echo in [echo().outcome()?, echo().stdin("").outcome()?] {
                assert_eq!((echo.code, echo.stdout.as_str()), (0, ""), "{file}, {profile}: {echo}");
            }
        }
    }

    fn a_stdin_that_opens_late_has_its_say(daemon) {
        let mut echo = daemon.run("echo.wasm").open_stdin().spawn()?;
        // Longer than a stdin without a writer is waited for.
        std::thread::sleep(std::time::Duration::from_secs(3));
        echo.write(b"at last\n")?;
        assert_eq!(echo.outcome()?.stdout, "at last\n");
    }

    fn stdin_that_no_guest_reads_keeps_nobody(daemon) {
        for file in ["hello.wasm", "hello.p1.wasm", "hello.p3.wasm"] {
            for input in ["".into(), "unread\n".into(), "unread\n".repeat(200_000)] {
                let hello = daemon.run(file).stdin(input).outcome()?;
                assert_eq!((hello.code, hello.stdout.as_str()), (0, "hello from run-wasm\n"), "{hello}");
            }
        }
    }

    fn a_megabyte_goes_in_and_comes_out(daemon) {
        let text: String = (0..131_072).map(|number| format!("{number:07}\n")).collect();
        for file in ["echo.wasm", "echo.p3.wasm"] {
            let echo = daemon.run(file).stdin(text.clone()).outcome()?;
            assert!(echo.code == 0 && echo.stdout == text, "{echo}");
        }
    }

    fn much_output_arrives_whole(daemon) {
        for file in ["bigout.wasm", "bigout.p1.wasm", "bigout.p3.wasm"] {
            let big = daemon.run(file).args(["16"]).outcome()?;
            let wanted: String = (0..16 * 16 * 1024).map(|number| format!("{number:010} {:x<52}\n", "")).collect();
            assert!(big.code == 0 && big.stdout == wanted, "{} bytes of {}: {big}", big.stdout.len(), wanted.len());
        }
    }

    fn stderr_is_apart_from_stdout(daemon) {
        for file in ["stderr.wasm", "stderr.p1.wasm", "stderr.p3.wasm"] {
            let both = daemon.run(file).outcome()?;
            assert_eq!((both.stdout.as_str(), both.stderr.as_str()), ("this is stdout\n", "this is stderr\n"), "{both}");
        }
    }

    fn a_terminal_shows_both(daemon) {
        for file in ["stderr.wasm", "stderr.p1.wasm", "stderr.p3.wasm"] {
            let shown = daemon.run(file).in_terminal()?;
            assert_eq!(shown.code, 0, "{shown}");
            // `ctr` keeps output processing on in its own terminal: how many carriage returns there are is its choice.
            // Behind the guest's words it may complain that it came too late to tell the terminal's size.
            let text = shown.stdout.replace('\r', "");
            assert!(text.starts_with("this is stdout\nthis is stderr\n"), "{text:?}");
        }
    }

    fn a_log_file_gets_both(daemon) {
        let log = daemon.nest().folder().join("logs/container.log");
        let run = daemon.run("stderr.wasm").flag(format!("--log-uri=file://{}", log.display())).outcome()?;
        assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run}");
        let text = fs::read_to_string(log)?;
        assert!(text.contains("this is stdout\n") && text.contains("this is stderr\n"), "{text}");
    }

    fn a_logging_binary_gets_each_stream_and_the_names(daemon) {
        let folder = daemon.nest().folder();
        let (logger, log) = (folder.join("logger"), folder.join("logged"));
        fs::write(&logger, LOGGER)?;
        fs::set_permissions(&logger, PermissionsExt::from_mode(0o755))?;
        let uri = format!("--log-uri=binary://{}?to={}", logger.display(), log.display());
        let run = daemon.run("stderr.wasm").id("logged-one").flag(uri).outcome()?;
        assert_eq!(run.code, 0, "{run}");
        testkit::eventually("the logger is done", 30, || Ok(log.with_extension("done").exists()))?;
        assert_eq!(fs::read_to_string(log.with_extension("out"))?, "this is stdout\n");
        assert_eq!(fs::read_to_string(log.with_extension("err"))?, "this is stderr\n");
        let names = fs::read_to_string(log.with_extension("done"))?;
        assert_eq!(names, format!("{} logged-one\n", daemon.nest().name()));
    }

    fn a_logging_binary_that_is_not_there_is_named(daemon) {
        let run = daemon.run("hello.wasm").flag("--log-uri=binary:///no/such/logger").outcome()?.refusal()?;
        assert!(run.contains("/no/such/logger"), "{run}");
    }
}
