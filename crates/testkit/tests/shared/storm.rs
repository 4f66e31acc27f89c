//! Many clients at once, each of whom does everything in any order.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use testkit::{Caller, Containerd, Crowd, Dice, Member, State, eventually, tell};

use crate::footprint::Footprint;
use crate::{among_others, manager};

const CLIENTS: u64 = 16;

/// Containers of one client at a time.
const SLOTS: u64 = 6;

/// Processes outlive the storm, to be looked at.
const NODE: &str = "modes = [\"shared\"]\n[shared]\nidle-exit = \"15s\"\n";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Empty,
    Created,
    /// Killed before it was started.
    Struck,
    Started,
}

struct Client<'a> {
    crowd: &'a Crowd<'a>,
    caller: Caller,
    dice: Dice,
    members: Vec<(Member, Slot)>,
    calls: usize,
}

impl<'a> Client<'a> {
    fn new(crowd: &'a Crowd<'a>, number: u64) -> Result<Client<'a>> {
        let member = |slot: u64| {
            let uid = if slot.is_multiple_of(2) { 1001 } else { 1002 };
            let seconds = if slot.is_multiple_of(3) { "0.02" } else { "3600" };
            (Member::new(format!("storm-{number}-{slot}")).user(uid).args([seconds]), Slot::Empty)
        };
        let members = (0..SLOTS).map(member).collect();
        let dice = Dice::new(0, number);
        Ok(Client { crowd, caller: crowd.caller()?, dice, members, calls: 0 })
    }

    /// One call, in order or not. What is out of order has to fail.
    fn call(&mut self) -> Result<()> {
        let which = usize::try_from(self.dice.throw(SLOTS))?;
        let (member, slot) = self.members.get_mut(which).context("no such slot")?;
        let id = member.id();
        self.calls += 1;
        match self.dice.throw(6) {
            0 | 1 => match *slot {
                Slot::Empty => {
                    self.crowd.create(&self.caller, member)?;
                    *slot = Slot::Created;
                }
                _ => ensure!(self.crowd.create(&self.caller, member).is_err(), "{id} was created twice"),
            },
            2 => {
                let started = self.caller.start(id);
                match *slot {
                    Slot::Created => {
                        started.with_context(|| format!("cannot start {id}"))?;
                        *slot = Slot::Started;
                    }
                    // Its end may be on its way still.
                    Slot::Struck => {}
                    _ => ensure!(started.is_err(), "{id} was started out of order"),
                }
            }
            3 | 4 => {
                let signal = if self.dice.throw(2) == 0 { Signal::TERM } else { Signal::KILL };
                let killed = self.caller.kill(id, signal.as_raw().unsigned_abs());
                ensure!(*slot != Slot::Empty || killed.is_err(), "{id} was killed before it was there");
                if *slot == Slot::Created {
                    *slot = Slot::Struck;
                }
            }
            _ if *slot == Slot::Empty => {
                ensure!(self.caller.delete(id).is_err(), "{id} was deleted before it was there");
            }
            // One that runs is refused, and stays.
            _ => {
                if self.caller.delete(id).is_ok() {
                    *slot = Slot::Empty;
                }
            }
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        for (member, slot) in &mut self.members {
            if *slot != Slot::Empty {
                // It may have ended.
                if self.caller.kill(member.id(), Signal::KILL.as_raw().unsigned_abs()).is_ok() {
                    self.caller.wait(member.id())?;
                }
                self.caller.delete(member.id())?;
                *slot = Slot::Empty;
            }
        }
        Ok(())
    }
}

/// How many calls were made.
fn storm(crowd: &Crowd<'_>, time: Duration) -> Result<usize> {
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        let blow = move |number| -> Result<usize> {
            let mut client = Client::new(crowd, number)?;
            let mut result = Ok(());
            while result.is_ok() && Instant::now() < end {
                result = client.call();
            }
            client.clear()?;
            result.map(|()| client.calls)
        };
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || blow(number))).collect();
        clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
            .sum()
    })
}

/// What the manager and its hosts hold that have no container.
fn footprints(daemon: &Containerd) -> Result<[Footprint; 2]> {
    let manager = manager(daemon.nest())?;
    Ok([Footprint::of(&[manager])?, Footprint::of(&daemon.nest().hosts()?)?])
}

testkit::stories! {
    fn after_a_storm_a_manager_holds_no_more_than_before(daemon) {
        let _among = among_others();
        let crowd = daemon.run("sleep.wasm").config(NODE).crowd()?;
        // What is kept for the next time is kept now.
        storm(&crowd, Duration::from_secs(3))?;
        let before = footprints(daemon)?;
        let calls = storm(&crowd, Duration::from_secs(30))?;
        let after = footprints(daemon)?;
        for (who, before, after) in [("manager", before[0], after[0]), ("hosts", before[1], after[1])] {
            tell(&format!("{:?}: a storm of {calls} calls by {CLIENTS} clients: {who}: {before} before, {after} after", daemon.version()));
        }
        for (before, after) in before.into_iter().zip(after) {
            // Logs of containers and connections of clients that are about to be closed; one for each call would be thousands.
            ensure!(after.files <= before.files + 32, "open files");
            ensure!(after.mappings <= before.mappings + 64, "mappings");
            ensure!(after.threads <= before.threads + 4, "threads");
            ensure!(after.memory <= before.memory + (8 << 10), "memory");
        }
        ensure!(crowd.caller()?.tasks()?.is_empty());
        eventually("the idle manager ends", 60, || Ok(daemon.nest().shims()?.is_empty()))?;
    }

    fn a_task_that_was_never_started_can_be_deleted(daemon) {
        let _among = among_others();
        let crowd = daemon.run("sleep.wasm").config(crate::NODE).crowd()?;
        let caller = crowd.caller()?;
        crowd.create(&caller, &Member::new("unborn"))?;
        assert_eq!(caller.tasks()?.get("unborn"), Some(&State::Created));
        caller.delete("unborn")?;
    }
}
