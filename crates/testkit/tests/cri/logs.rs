//! Logs, as `kubectl logs` reads them.

testkit::pod_stories! {
    fn the_log_of_a_fast_guest_is_complete(node) {
        let pod = node.pod("fast").run()?;
        for guest in ["bigout.wasm", "bigout.p1.wasm"] {
            let container = pod.guest(guest.trim_end_matches(".wasm"), guest)?.args(["4"]).start()?;
            assert_eq!(container.end()?.exit_code, 0);
            let log = container.log()?;
            assert_eq!(log.len(), 4 * 16 * 1024, "{guest}");
            for (number, line) in log.iter().enumerate() {
                let whole = line.full && line.stream == "stdout" && line.text == format!("{number:010} {:x<52}", "");
                assert!(whole, "{guest}: line {number} is {line:?}");
            }
        }
        pod.remove()?;
    }

    fn a_line_says_which_stream_it_was_written_to(node) {
        let pod = node.pod("streams").run()?;
        let container = pod.guest("app", "stderr.wasm")?.start()?;
        assert_eq!(container.end()?.exit_code, 0);
        assert_eq!(container.output("stdout")?, "this is stdout\n");
        assert_eq!(container.output("stderr")?, "this is stderr\n");
        pod.remove()?;
    }
}
