//! Ends, as a kubelet sees them: exit code, reason, termination message.

use testkit::cri::ContainerState;
use testkit::refusal;

const MIB: i64 = 1 << 20;

testkit::pod_stories! {
    fn an_exit_code_is_the_guests_own(node) {
        let pod = node.pod("codes").run()?;
        for (name, guest, args, code, reason) in [
            ("zero", "hello.wasm", &[][..], 0, "Completed"),
            ("seven", "exit.wasm", &["7"][..], 7, "Error"),
            ("seven-p1", "exit.p1.wasm", &["7"][..], 7, "Error"),
            ("failing", "fail.wasm", &[][..], 1, "Error"),
        ] {
            let container = pod.guest(name, guest)?.args(args.iter().copied()).start()?;
            let end = container.end()?;
            assert_eq!((end.exit_code, end.reason.as_str()), (code, reason), "{name} {end:?}");
            // CRI takes the time of a start when it has its answer: a fast guest may have ended before.
            assert!(end.started_at > 0 && end.finished_at > 0, "{end:?}");
            assert_eq!(container.termination_message()?, "", "{name}: a guest that ends by itself needs no explanation");
        }
        pod.remove()?;
    }

    fn a_trap_is_explained_in_the_termination_message(node) {
        let pod = node.pod("trap").run()?;
        let container = pod.guest("app", "trap.wasm")?.start()?;
        let end = container.end()?;
        assert_eq!((end.exit_code, end.reason.as_str()), (134, "Error"), "{end:?}");
        for text in [container.termination_message()?, container.output("stderr")?] {
            assert!(text.contains("unreachable") && text.contains("inner"), "{text}");
        }
        pod.remove()?;
    }

    fn the_termination_message_goes_where_the_pod_wants_it(node) {
        let pod = node.pod("path").run()?;
        let container = pod.guest("app", "trap.wasm")?.termination_path("/var/log/last words").start()?;
        assert_eq!(container.end()?.exit_code, 134);
        assert!(container.termination_message()?.contains("unreachable"), "{}", container.termination_message()?);
        pod.remove()?;
    }

    fn a_time_limit_is_explained_in_the_termination_message(node) {
        let pod = node.pod("late").annotation("run.wasm/timeout", "500ms").run()?;
        for guest in ["spin.wasm", "spin.p1.wasm", "sleep.p3.wasm"] {
            let container = pod.guest(guest.trim_end_matches(".wasm"), guest)?.args(["3600"]).start()?;
            let end = container.end()?;
            assert_eq!((end.exit_code, end.reason.as_str()), (124, "Error"), "{end:?}");
            for text in [container.termination_message()?, container.output("stderr")?] {
                assert!(text.contains("timed out: it ran for the 500ms of `run.wasm/timeout`"), "{guest}: {text}");
            }
        }
        pod.remove()?;
    }

    fn a_guest_beyond_its_memory_limit_is_oom_killed(node) {
        let pod = node.pod("memory").run()?;
        for guest in ["memory-hog.wasm", "memory-hog.p1.wasm"] {
            let container = pod.guest(guest.trim_end_matches(".wasm"), guest)?.memory(64 * MIB).args(["200"]).start()?;
            let end = container.end()?;
            assert_eq!(end.exit_code, 137, "{end:?}");
            container.is_oom_killed()?;
            assert!(container.termination_message()?.contains("memory"), "{:?}", container.termination_message()?);
        }
        pod.remove()?;
    }

    fn what_cannot_be_honoured_is_a_start_error(node) {
        let pod = node.pod("refused").annotation("run.wasm/app.egress", "not an address").run()?;
        let container = pod.guest("app", "hello.wasm")?.create()?;
        let refused = refusal(container.start())?;
        assert!(refused.contains("run.wasm/app.egress"), "{refused}");
        let end = container.status()?;
        assert_eq!((end.state(), end.exit_code, end.reason.as_str()), (ContainerState::Exited, 128, "StartError"), "{end:?}");
        assert!(end.message.contains("run.wasm/app.egress"), "{end:?}");
        let other = pod.guest("other", "hello.wasm")?.start()?;
        assert_eq!(other.end()?.exit_code, 0, "the annotation is another container's");
        pod.remove()?;
    }
}
