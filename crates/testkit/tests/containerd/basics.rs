//! What goes in and what comes out: the program, its arguments, its environment, its end.

const HELLO: &str = "hello from run-wasm\n";

testkit::stories! {
    fn a_component_says_hello(daemon) {
        let hello = daemon.run("hello.wasm").outcome()?;
        assert_eq!((hello.code, hello.stdout.as_str(), hello.stderr.as_str()), (0, HELLO, ""), "{hello}");
    }

    fn a_module_of_preview_1_says_hello(daemon) {
        let hello = daemon.run("hello.p1.wasm").outcome()?;
        assert_eq!((hello.code, hello.stdout.as_str(), hello.stderr.as_str()), (0, HELLO, ""), "{hello}");
    }

    fn an_async_command_of_wasi_0_3_says_hello(daemon) {
        let hello = daemon.run("hello.p3.wasm").outcome()?;
        assert_eq!((hello.code, hello.stdout.as_str(), hello.stderr.as_str()), (0, HELLO, ""), "{hello}");
    }

    fn arguments_arrive_whole(daemon) {
        for file in ["args.wasm", "args.p1.wasm", "args.p3.wasm"] {
            let args = daemon.run(file).args(["one", "two words", "", "ünï", "--flag=x"]).outcome()?;
            let wanted = format!("arg[0]=/{file}\narg[1]=one\narg[2]=two words\narg[3]=\narg[4]=ünï\narg[5]=--flag=x\n");
            assert_eq!(args.stdout, wanted, "{args}");
        }
    }

    fn the_environment_is_the_containers_and_nothing_of_the_nodes(daemon) {
        for file in ["env.wasm", "env.p1.wasm", "env.p3.wasm"] {
            let env = daemon.run(file).env("GREETING", "good morning").env("EMPTY", "").outcome()?;
            let (path, own): (Vec<&str>, Vec<&str>) = env.stdout.lines().partition(|line| line.starts_with("PATH="));
            assert_eq!(own, ["EMPTY=", "GREETING=good morning"], "{env}");
            // containerd gives every container this one; it is not the node's.
            assert_eq!(path, ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "{env}");
            assert!(!env.stdout.contains(testkit::NODES_OWN), "{env}");
        }
    }

    fn an_exit_code_arrives(daemon) {
        for file in ["exit.wasm", "exit.p1.wasm", "exit.p3.wasm"] {
            for code in [0, 1, 7, 255] {
                assert_eq!(daemon.run(file).args([code.to_string()]).outcome()?.code, code, "{file}");
            }
        }
        // What was on its way when the guest exited is not lost.
        assert_eq!(daemon.run("exit.p3.wasm").args(["7"]).outcome()?.stdout, "exiting\n");
    }

    fn a_run_that_fails_is_1(daemon) {
        for file in ["fail.wasm", "fail.p1.wasm", "fail.p3.wasm"] {
            let fail = daemon.run(file).outcome()?;
            assert_eq!(fail.code, 1, "{fail}");
            assert!(!fail.stderr.is_empty(), "{fail}");
        }
    }

    fn a_trap_is_134_with_the_names_of_the_calls(daemon) {
        for file in ["trap.wasm", "trap.p1.wasm", "trap.p3.wasm"] {
            let trap = daemon.run(file).outcome()?;
            assert_eq!((trap.code, trap.stdout.as_str()), (134, "about to trap\n"), "{trap}");
            for part in ["unreachable", "inner", "middle", "outer"] {
                assert!(trap.stderr.contains(part), "no {part} in {trap}");
            }
        }
    }

    fn a_division_by_zero_is_134_and_named(daemon) {
        for file in ["divzero.wasm", "divzero.p1.wasm"] {
            let trap = daemon.run(file).outcome()?;
            assert_eq!(trap.code, 134, "{trap}");
            assert!(trap.stderr.contains("divide by zero") && trap.stderr.contains("divide"), "{trap}");
        }
    }

    fn an_exhausted_stack_is_134_and_named(daemon) {
        for file in ["overflow.wasm", "overflow.p1.wasm"] {
            let trap = daemon.run(file).outcome()?;
            assert_eq!((trap.code, trap.stdout.as_str()), (134, "about to overflow\n"), "{trap}");
            assert!(trap.stderr.contains("call stack exhausted"), "{trap}");
        }
    }

    fn time_and_chance_are_there(daemon) {
        let mut chances = Vec::new();
        for file in ["clocks.wasm", "clocks.p1.wasm", "clocks.p3.wasm"] {
            let clocks = daemon.run(file).outcome()?;
            assert!(clocks.code == 0 && clocks.stdout.contains("wall: plausible"), "{clocks}");
            chances.extend(clocks.stdout.lines().find(|line| line.starts_with("random")).map(str::to_owned));
        }
        chances.sort();
        chances.dedup();
        assert_eq!(chances.len(), 3, "{chances:?}");
    }

    fn an_id_is_free_again_at_once(daemon) {
        for _ in 0..5 {
            assert_eq!(daemon.run("hello.wasm").id("again").outcome()?.stdout, HELLO);
        }
    }
}
