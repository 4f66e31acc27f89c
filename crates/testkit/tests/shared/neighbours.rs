//! Containers of one host: what one of them eats is not the others'.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::{Crowd, Member, tell};

use crate::pulse::{Pulse, p99};
use crate::{alone_on_the_machine, guest};

/// What the guest `eater` eats.
const MEALS: [&str; 4] = ["cpu", "memory", "sockets", "calls"];

/// Nobody eats.
const NOBODY: &str = "nobody";

/// How often each is measured at least, and at most: the machine's own moods shall not decide.
const ROUNDS: usize = 3;
const MOST_ROUNDS: usize = 15;

/// How many neighbours there are.
const NEIGHBOURS: usize = 6;
const WINDOW: Duration = Duration::from_millis(1000);

/// So much of a window may be stolen, in hundredths of a second, and so often is another one waited for.
const STOLEN: u64 = 1;
const MOST_TRIES: u32 = 5;

/// How much later a neighbour may be served, in hundredths.
const MORE: u32 = 120;

/// The p99 of all pulses in one window, in which nobody outside of this machine took its processors.
fn window(pulses: &[Pulse]) -> Result<Duration> {
    let mut tries = 0;
    loop {
        let counts: Vec<_> = pulses.iter().map(Pulse::count).collect();
        let before = stolen()?;
        std::thread::sleep(WINDOW);
        tries += 1;
        if stolen()? - before <= STOLEN || tries == MOST_TRIES {
            return p99(pulses
                .iter()
                .zip(counts)
                .flat_map(|(pulse, count)| pulse.intervals(count))
                .collect());
        }
    }
}

/// What the hypervisor has taken of all processors since the machine began, in hundredths of a second (proc_stat(5)); 0 where
/// there is none.
fn stolen() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let all = text.lines().next().context("/proc/stat is empty")?;
    all.split_whitespace().nth(8).map_or(Ok(0), |steal| steal.parse().context("/proc/stat"))
}

fn eaten(eaters: &Crowd<'_>, meal: &str, round: usize, pulses: &[Pulse]) -> Result<Duration> {
    let eater = [Member::new(format!("{meal}-{round}")).args([meal])];
    if meal == NOBODY {
        return window(pulses);
    }
    eaters.start(&eater)?;
    std::thread::sleep(Duration::from_millis(200));
    let seen = window(pulses);
    eaters.remove(&eater)?;
    seen
}

/// What was measured of each meal.
#[derive(Default)]
struct Seen(BTreeMap<&'static str, Vec<Duration>>);

impl Seen {
    fn add(&mut self, meal: &'static str, p99: Duration) {
        self.0.entry(meal).or_default().push(p99);
    }

    fn median(&self, meal: &str) -> Result<Duration> {
        let mut windows = self.0.get(meal).context("it was not measured")?.clone();
        windows.sort();
        windows.get(windows.len() / 2).copied().context("it was not measured")
    }

    /// The meals beside which neighbours are served too late.
    fn delayed(&self) -> Result<Vec<&'static str>> {
        let alone = self.median(NOBODY)?;
        let mut delayed = Vec::new();
        for meal in MEALS {
            if self.median(meal)? * 100 > alone * MORE {
                delayed.push(meal);
            }
        }
        Ok(delayed)
    }
}

testkit::stories! {
    fn a_guest_that_eats_all_that_it_can_get_does_not_delay_its_neighbours(daemon) {
        let _alone = alone_on_the_machine();
        let crowd = guest(daemon, "pulse.wasm").crowd()?;
        let eaters = guest(daemon, "eater.wasm").host_network().annotation("run.wasm/egress", "127.0.0.1:9");
        let eaters = eaters.memory(256 << 20).crowd()?;
        let pulses = (0..NEIGHBOURS).map(|n| Pulse::new(daemon, &format!("neighbour{n}"), 0)).collect::<Result<Vec<_>>>()?;
        let members: Vec<_> = pulses.iter().map(|pulse| pulse.member.clone()).collect();
        crowd.start(&members)?;
        daemon.nest().favour()?;
        pulses.iter().try_for_each(Pulse::beats)?;
        let mut seen = Seen::default();
        for round in 0..MOST_ROUNDS {
            for meal in [NOBODY].into_iter().chain(MEALS) {
                seen.add(meal, eaten(&eaters, meal, round, &pulses)?);
            }
            if round + 1 >= ROUNDS && seen.delayed()?.is_empty() {
                break;
            }
        }
        assert_eq!(daemon.nest().hosts()?.len(), 1, "all of them are in one host");
        let alone = seen.median(NOBODY)?;
        for meal in MEALS {
            let beside = seen.median(meal)?;
            let percent = beside.as_secs_f64() / alone.as_secs_f64() * 100.0 - 100.0;
            tell(&format!(
                "{:?}: beside a guest that eats {meal}: p99 {beside:?} where it is {alone:?} without ({percent:+.1} %)",
                daemon.version()
            ));
        }
        let delayed = seen.delayed()?;
        ensure!(delayed.is_empty(), "neighbours are delayed by {delayed:?}");
        crowd.remove(&members)?;
    }
}
