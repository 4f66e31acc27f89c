//! What goes in and what comes out: the program, its arguments, its streams, its end.

testkit::stories! {
    fn a_component_says_hello(daemon) {
        let hello = daemon.run("hello.wasm").outcome()?;
        assert_eq!((hello.code, hello.stdout.as_str(), hello.stderr.as_str()), (0, "hello from run-wasm\n", ""), "{hello}");
    }

    fn a_module_of_preview_1_says_hello(daemon) {
        let hello = daemon.run("hello.p1.wasm").outcome()?;
        assert_eq!((hello.code, hello.stdout.as_str(), hello.stderr.as_str()), (0, "hello from run-wasm\n", ""), "{hello}");
    }

    fn an_exit_code_arrives(daemon) {
        assert_eq!(daemon.run("exit.wasm").args(["7"]).outcome()?.code, 7);
        assert_eq!(daemon.run("exit.p1.wasm").args(["255"]).outcome()?.code, 255);
    }

    fn a_trap_is_134_with_the_names_of_the_calls(daemon) {
        for file in ["trap.wasm", "trap.p1.wasm"] {
            let trap = daemon.run(file).outcome()?;
            assert_eq!((trap.code, trap.stdout.as_str()), (134, "about to trap\n"), "{trap}");
            for part in ["unreachable", "inner", "middle", "outer"] {
                assert!(trap.stderr.contains(part), "no {part} in {trap}");
            }
        }
    }

    fn stdin_ends(daemon) {
        for file in ["echo.wasm", "echo.p1.wasm"] {
            let echo = daemon.run(file).stdin("hi\n").outcome()?;
            assert_eq!((echo.code, echo.stdout.as_str()), (0, "hi\n"), "{echo}");
        }
    }

    fn sigterm_ends_a_guest_with_143_and_sigkill_with_137(daemon) {
        for file in ["sleep.wasm", "sleep.p1.wasm"] {
            for (signal, code) in [("SIGTERM", 143), ("SIGKILL", 137)] {
                let mut sleep = daemon.run(file).spawn()?;
                sleep.says("sleeping")?;
                sleep.kill(signal)?;
                let end = sleep.outcome()?;
                assert_eq!(end.code, code, "{file} {signal} {end}");
            }
        }
    }
}
