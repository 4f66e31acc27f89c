//! A containerd that is away while containers work: nothing of theirs is lost.

use std::time::Duration;

use anyhow::ensure;
use testkit::{eventually, mode};

/// How long it is away.
const AWAY: Duration = Duration::from_secs(60);

testkit::pod_stories! {
    fn no_line_of_a_log_is_lost_while_containerd_is_away(node) {
        let pod = node.pod("logged").run()?;
        let names: Vec<String> = (0..8).map(|number| format!("ticker-{number}")).collect();
        let tickers = names.iter().map(|name| pod.guest(name, "ticker.wasm")?.start()).collect::<anyhow::Result<Vec<_>>>()?;
        for ticker in &tickers {
            ticker.says("tick 2\n")?;
        }
        node.containerd().stop()?;
        let known = tickers.iter().map(|ticker| Ok(ticker.output("stdout")?.lines().count())).collect::<anyhow::Result<Vec<_>>>()?;
        std::thread::sleep(AWAY);
        node.containerd().begin()?;
        eventually("CRI answers", 30, || Ok(pod.is_ready().unwrap_or(false)))?;
        for (ticker, known) in tickers.iter().zip(known) {
            let lines = ticker.output("stdout")?.lines().count();
            eventually("it is heard again", 60, || Ok(ticker.output("stdout")?.lines().count() > lines + 20))?;
            ticker.lost_nothing(known, |number| format!("tick {number}"))?;
        }
        pod.remove()?;
    }

    fn ends_while_containerd_is_away_are_known_when_it_is_back(node) {
        let pod = node.pod("ended").run()?;
        let names: Vec<String> = (0..8).map(|number| format!("exit-{number}")).collect();
        let sleepers = names.iter().map(|name| pod.guest(name, "sleep.wasm")?.args(["15"]).start());
        let sleepers = sleepers.collect::<anyhow::Result<Vec<_>>>()?;
        node.containerd().kill()?;
        eventually("they end while nobody looks", 60, || {
            let log = node.nest().managers_log();
            let has_ended = |id: &str| log.lines().any(|line| line.contains("ended") && line.contains(id));
            Ok(match mode::is_shared() {
                true => sleepers.iter().all(|sleeper| has_ended(sleeper.id())),
                false => node.hosts()?.is_empty(),
            })
        })?;
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
