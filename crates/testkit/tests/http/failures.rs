//! What guests do to their clients, and that nobody else notices.

use crate::BOTH;
use testkit::http::{field, get};

testkit::stories! {
    fn a_trap_is_a_500_with_its_reason_on_stderr_and_the_server_goes_on(daemon) {
        for file in BOTH {
            let mut server = daemon.run(file).host_network().spawn()?;
            let trapped = get(daemon.nest(), "/trap")?;
            assert_eq!(trapped.status, 500, "{trapped:?}");
            let half = get(daemon.nest(), "/half")?;
            assert!(half.status == 200 && half.cut && half.body == "the first half", "{file}: {half:?}");
            assert_eq!(get(daemon.nest(), "/hello")?.status, 200);
            server.kill("SIGTERM")?;
            let ended = server.outcome()?;
            assert_eq!(ended.code, 0);
            assert_eq!(ended.stderr.matches("wasm `unreachable` instruction executed").count(), 2, "{file}: {ended}");
            assert!(ended.stderr.contains("trapped"), "the backtrace: {ended}");
        }
    }

    fn an_answer_that_never_comes_is_a_504(daemon) {
        for file in BOTH {
            let run = daemon.run(file).host_network().annotation("run.wasm/http-timeout", "3s");
            let mut server = run.spawn()?;
            for path in ["/never", "/spin"] {
                let late = get(daemon.nest(), path)?;
                assert_eq!(late.status, 504, "{file} {path}: {late:?}");
                assert_eq!(get(daemon.nest(), "/hello")?.status, 200);
            }
            let stalled = get(daemon.nest(), "/stall")?;
            assert!(stalled.status == 200 && stalled.cut && stalled.body == "the first half", "{stalled:?}");
            server.kill("SIGTERM")?;
            let ended = server.outcome()?;
            assert!(ended.code == 0 && ended.stderr.contains("run.wasm/http-timeout"), "{file}: {ended}");
        }
    }

    fn a_time_limit_is_that_of_each_request(daemon) {
        let mut server = daemon.run("serve.wasm").host_network().annotation("run.wasm/timeout", "3s").spawn()?;
        assert_eq!(get(daemon.nest(), "/never")?.status, 504);
        assert_eq!(get(daemon.nest(), "/hello")?.status, 200);
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }

    fn a_guest_that_says_nothing_or_that_it_failed_is_a_500(daemon) {
        let mut server = daemon.run("serve.wasm").host_network().spawn()?;
        assert_eq!(get(daemon.nest(), "/silent")?.status, 500);
        assert_eq!(get(daemon.nest(), "/error")?.status, 500);
        for _ in 0..100 {
            assert_eq!(get(daemon.nest(), "/leak")?.status, 200);
        }
        server.kill("SIGTERM")?;
        let ended = server.outcome()?;
        assert!(ended.code == 0 && ended.stderr.contains("a request was not answered: "), "{ended}");
    }

    fn memory_that_is_not_there_ends_the_request_that_wants_it(daemon) {
        for file in BOTH {
            let mut server = daemon.run(file).host_network().memory(64 << 20).spawn()?;
            assert_eq!(get(daemon.nest(), "/hog/20")?.body, "20971520 bytes\n");
            assert_eq!(get(daemon.nest(), "/hog/100")?.status, 500);
            // What an instance had is there for the next ones.
            for _ in 0..10 {
                assert_eq!(get(daemon.nest(), "/hog/20")?.status, 200, "{file}");
            }
            server.kill("SIGTERM")?;
            let ended = server.outcome()?;
            assert!(ended.code == 0 && ended.stderr.contains("out of memory: memory limit of 64 MiB"), "{file}: {ended}");
        }
    }

    fn too_many_requests_are_turned_away_at_once_or_in_a_moment(daemon) {
        let run = daemon.run("serve.wasm").host_network().annotation("run.wasm/http-max-instances", "2");
        let mut server = run.annotation("run.wasm/http-timeout", "3s").spawn()?;
        assert_eq!(get(daemon.nest(), "/hello")?.status, 200);
        let answers = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..60).map(|_| scope.spawn(|| get(daemon.nest(), "/never"))).collect();
            asked.into_iter().map(|answer| answer.join().unwrap_or_else(|_| anyhow::bail!("a client panicked"))).collect::<anyhow::Result<Vec<_>>>()
        })?;
        let of = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert!(of(503) >= 26 && of(503) + of(504) == 60, "{} of 503, {} of 504", of(503), of(504));
        let away = answers.iter().find(|answer| answer.status == 503);
        assert!(away.is_some_and(|away| field(&away.head, "retry-after").is_some()), "{away:?}");
        assert_eq!(get(daemon.nest(), "/hello")?.status, 200);
        server.kill("SIGTERM")?;
        assert_eq!(server.outcome()?.code, 0);
    }
}
