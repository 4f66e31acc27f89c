//! Pods and the life of their containerd.

use testkit::cri::ContainerState;
use testkit::{eventually, mode};

testkit::pod_stories! {
    fn a_restarted_containerd_finds_its_pods_again(node) {
        let pod = node.pod("survivor").run()?;
        let ticker = pod.guest("ticker", "ticker.wasm")?.start()?;
        let sleeper = pod.guest("sleeper", "sleep.wasm")?.args(["20"]).start()?;
        let ended = pod.guest("ended", "exit.wasm")?.args(["7"]).start()?;
        ticker.says("tick 1\n")?;
        sleeper.says("sleeping\n")?;
        assert_eq!(ended.end()?.exit_code, 7);
        let ip = pod.ip()?;

        node.containerd().kill()?;
        let known = ticker.output("stdout")?.lines().count();
        eventually("the sleeper ends while nobody looks", 60, || Ok(match mode::is_shared() {
            true => node.nest().managers_log().lines().any(|line| line.contains("ended") && line.contains(sleeper.id())),
            false => node.hosts()?.len() == 1,
        }))?;
        node.containerd().begin()?;

        eventually("CRI answers", 30, || Ok(pod.is_ready().unwrap_or(false)))?;
        assert_eq!(pod.ip()?, ip);
        assert_eq!(ticker.status()?.state(), ContainerState::Running);
        assert_eq!(ended.status()?.exit_code, 7);
        assert_eq!(sleeper.end()?.exit_code, 0, "it ended while containerd was away");
        let ticks = ticker.output("stdout")?.lines().count();
        eventually("the log goes on", 30, || Ok(ticker.output("stdout")?.lines().count() > ticks + 3))?;
        ticker.lost_nothing(known, |number| format!("tick {number}"))?;
        assert_eq!(node.stats(Some(pod.id()))?.len(), 3, "all of its containers have stats");

        let late = pod.guest("late", "hello.wasm")?.start()?;
        assert_eq!(late.end()?.exit_code, 0, "the pod takes new containers");
        ticker.stop(30)?;
        assert_eq!(ticker.end()?.exit_code, 143);
        pod.remove()?;
    }
}
