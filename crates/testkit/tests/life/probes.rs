//! Exec as a kubelet calls it: probes, and `kubectl exec` without a terminal.

use testkit::refusal;

testkit::pod_stories! {
    fn a_probe_has_the_exit_code_and_the_output_of_what_it_runs(node) {
        let pod = node.pod("probed").run()?;
        let sleep = pod.guest("sleep", "sleep.wasm")?.start()?;
        sleep.says("sleeping")?;
        let well = sleep.exec(&["nap", "0.01"], 60)?;
        assert_eq!((well.code, well.stdout.as_str()), (0, "sleeping\nwoke\n"), "{well}");
        let ill = sleep.exec(&["nap", "no number"], 60)?;
        assert!(ill.code == 134 && ill.stderr.contains("usage"), "{ill}");
        assert_eq!(sleep.output("stdout")?, "sleeping\n", "a probe writes nothing to the pod's log");
        pod.remove()?;
    }

    fn a_probe_that_takes_too_long_is_ended(node) {
        let pod = node.pod("slow").run()?;
        let sleep = pod.guest("sleep", "sleep.wasm")?.start()?;
        sleep.says("sleeping")?;
        let slow = refusal(sleep.exec(&["nap", "3600"], 1))?;
        assert!(slow.contains("timeout") || slow.contains("deadline") || slow.contains("timed out"), "{slow}");
        let well = sleep.exec(&["nap", "0"], 60)?;
        assert_eq!(well.code, 0, "{well}");
        pod.remove()?;
    }

    fn each_container_of_a_pod_has_its_own_execs(node) {
        let pod = node.pod("two").run()?;
        let first = pod.guest("first", "sleep.wasm")?.start()?;
        let second = pod.guest("second", "hello.p1.wasm")?.create()?;
        let third = pod.guest("third", "sleep.p3.wasm")?.start()?;
        for sleep in [&first, &third] {
            sleep.says("sleeping")?;
            assert_eq!(sleep.exec(&["nap", "0"], 60)?.stdout, "sleeping\nwoke\n");
        }
        let early = refusal(second.exec(&["nap", "0"], 60))?;
        assert!(early.contains("CREATED") || early.contains("running"), "{early}");
        pod.remove()?;
    }
}
