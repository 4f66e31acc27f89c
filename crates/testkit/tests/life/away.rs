//! A containerd that is away while containers work: nothing of theirs is lost.

use std::time::Duration;

use anyhow::ensure;
use testkit::eventually;

/// How long it is away.
const AWAY: Duration = Duration::from_secs(20);

testkit::pod_stories! {
    fn no_line_of_a_log_is_lost_while_containerd_is_away(node) {
        let pod = node.pod("logged").run()?;
        let names: Vec<String> = (0..8).map(|number| format!("ticker-{number}")).collect();
        let tickers = names.iter().map(|name| pod.guest(name, "ticker.wasm")?.start()).collect::<anyhow::Result<Vec<_>>>()?;
        for ticker in &tickers {
            ticker.says("tick 2\n")?;
        }
        node.containerd().stop()?;
        std::thread::sleep(AWAY);
        node.containerd().begin()?;
        eventually("CRI answers", 30, || Ok(pod.is_ready().unwrap_or(false)))?;
        for ticker in &tickers {
            let lines = ticker.output("stdout")?.lines().count();
            eventually("it is heard again", 60, || Ok(ticker.output("stdout")?.lines().count() > lines + 20))?;
            let log = ticker.output("stdout")?;
            let wanted: String = (1..=log.lines().count()).map(|number| format!("tick {number}\n")).collect();
            assert_eq!(log, wanted, "every line, in order, once");
        }
        pod.remove()?;
    }

    fn ends_while_containerd_is_away_are_known_when_it_is_back(node) {
        let pod = node.pod("ended").run()?;
        let names: Vec<String> = (0..8).map(|number| format!("exit-{number}")).collect();
        let sleepers = names.iter().map(|name| pod.guest(name, "sleep.wasm")?.args(["3"]).start());
        let sleepers = sleepers.collect::<anyhow::Result<Vec<_>>>()?;
        node.containerd().kill()?;
        std::thread::sleep(Duration::from_secs(5));
        node.containerd().begin()?;
        eventually("CRI answers", 30, || Ok(pod.is_ready().unwrap_or(false)))?;
        for sleeper in &sleepers {
            let end = sleeper.end()?;
            ensure!(end.exit_code == 0, "{end:?}");
            ensure!(sleeper.output("stdout")? == "sleeping\nwoke\n", "{:?}", sleeper.log()?);
        }
        pod.remove()?;
    }
}
