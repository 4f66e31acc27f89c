//! A containerd that is away while containers work: nothing of theirs is lost.

use std::time::Duration;

use anyhow::{Context, ensure};
use testkit::eventually;

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
            let log = ticker.output("stdout")?;
            let last = log.lines().last().and_then(|line| line.strip_prefix("tick ")).context("no line")?.parse()?;
            // containerd writes a line down after it has read it: the one that it had in hand as it ended is its own to lose.
            let in_hand = (log.lines().count() < last).then(|| format!("tick {}", known + 1));
            let wanted: Vec<String> = (1..=last).map(|number| format!("tick {number}")).filter(|line| Some(line) != in_hand.as_ref()).collect();
            assert_eq!(log.lines().collect::<Vec<_>>(), wanted, "every line, in order, once");
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
