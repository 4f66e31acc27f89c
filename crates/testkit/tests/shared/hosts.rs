//! Hosts that die, or that do not answer.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use testkit::{Containerd, Member, Process, eventually, tell};

use crate::pulse::{Pulse, p99};
use crate::{alone_on_the_machine, among_others, guest};

fn host_of(daemon: &Containerd, uid: u32) -> Result<Process> {
    daemon.nest().hosts()?.into_iter().find(|host| host.uid == uid).context("that user has no host")
}

/// Small messages that nobody has read yet: some 270 fill a socket whose buffer has the kernel's usual size.
const MORE_THAN_A_CHANNEL_HOLDS: usize = 360;

/// Once more, if the others have noticed.
const ROUNDS: usize = 5;

/// Kills the host of the user 1001. Whether the others' guests were served worse in the second after that than before.
fn strike(daemon: &Containerd, witnesses: &[Pulse]) -> Result<bool> {
    let start: Vec<_> = witnesses.iter().map(Pulse::count).collect();
    std::thread::sleep(Duration::from_secs(1));
    let counts: Vec<_> = witnesses.iter().map(Pulse::count).collect();
    daemon.nest().end(&host_of(daemon, 1001)?, Signal::KILL)?;
    std::thread::sleep(Duration::from_secs(1));
    let mut noticed = false;
    for (witness, (start, count)) in witnesses.iter().zip(start.into_iter().zip(counts)) {
        let all = witness.intervals(start);
        let (before, after) = all.split_at(count.saturating_sub(start).min(all.len()));
        // Where there are too few words there was something amiss.
        let (before, after) = (p99(before.to_vec()).ok(), p99(after.to_vec()).ok());
        tell(&format!(
            "{:?}: kill -9 of one host of three: {} spoke every {before:?} (p99) before, {after:?} in that second",
            daemon.version(),
            witness.member.id()
        ));
        let served =
            before.zip(after).is_some_and(|(before, after)| after <= 2 * before + Duration::from_millis(20));
        noticed |= !served;
    }
    Ok(noticed)
}

testkit::stories! {
    fn a_host_that_is_killed_takes_its_own_containers_and_no_others(daemon) {
        let _alone = alone_on_the_machine();
        let crowd = guest(daemon, "pulse.wasm").crowd()?;
        let pulses =
            [1001, 1002, 1003].map(|uid| Pulse::new(daemon, &format!("of-{uid}"), uid)).into_iter().collect::<Result<Vec<_>>>()?;
        let members: Vec<_> = pulses.iter().map(|pulse| pulse.member.clone()).collect();
        let events = daemon.events()?;
        crowd.start(&members)?;
        daemon.nest().favour()?;
        pulses.iter().try_for_each(Pulse::beats)?;
        assert_eq!(daemon.nest().hosts()?.len(), 3, "one for each user");
        let [victim, witnesses @ ..] = pulses.as_slice() else { anyhow::bail!("no pulses") };

        let caller = crowd.caller()?;
        let mut noticed = strike(daemon, witnesses)?;
        assert_eq!(caller.wait("of-1001")?, 139);
        ensure!(victim.output().contains("the engine host was ended by signal 9"), "{}", victim.output());
        assert_eq!(caller.delete("of-1001")?, Some(139));
        events.wait_for("of-1001", "/tasks/delete")?;
        assert_eq!(events.of_task("of-1001"), ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
        drop(events);
        witnesses.iter().try_for_each(Pulse::beats)?;
        // A machine on which something else happened in that second tells nothing.
        for round in 0..ROUNDS {
            let again = Pulse::new(daemon, &format!("again-{round}"), 1001)?;
            crowd.start(std::slice::from_ref(&again.member))?;
            assert_eq!(daemon.nest().hosts()?.len(), 3, "the group has a fresh one");
            again.beats()?;
            if !noticed {
                crowd.remove(&[again.member])?;
                break;
            }
            noticed = strike(daemon, witnesses)?;
            assert_eq!(caller.wait(again.member.id())?, 139);
            caller.delete(again.member.id())?;
        }
        ensure!(!noticed, "the others have noticed each time");
        crowd.remove(members.get(1..).unwrap_or_default())?;
    }

    fn a_host_hears_of_every_kill_however_many_come_at_once(daemon) {
        let _among = among_others();
        let crowd = guest(daemon, "sleep.wasm").crowd()?;
        let member = |number: usize| Member::new(format!("sleeper-{number}")).user(1001).args(["3600"]);
        let members: Vec<_> = (0..MORE_THAN_A_CHANNEL_HOLDS).map(member).collect();
        crowd.start(&members)?;
        let host = host_of(daemon, 1001)?;
        // Not for as long as it takes to be found out.
        daemon.nest().end(&host, Signal::STOP)?;
        let crowd = &crowd;
        let killed = std::thread::scope(|scope| {
            let callers: Vec<_> = members.chunks(MORE_THAN_A_CHANNEL_HOLDS / 4).map(|part| scope.spawn(move || {
                let caller = crowd.caller()?;
                part.iter().try_for_each(|member| caller.kill(member.id(), Signal::KILL.as_raw().unsigned_abs()))
            })).collect();
            callers.into_iter().try_for_each(|caller| caller.join().map_err(|_| anyhow::anyhow!("a panic"))?)
        });
        let late = crowd.create(&crowd.caller()?, &member(MORE_THAN_A_CHANNEL_HOLDS));
        daemon.nest().end(&host, Signal::CONT)?;
        killed?;
        let refused = late.err().context("it was created in a host that does not listen")?;
        ensure!(format!("{refused:#}").contains("does not listen"), "{refused:#}");
        let caller = crowd.caller()?;
        for member in &members {
            assert_eq!(caller.wait(member.id())?, 137, "{}", member.id());
        }
        crowd.remove(&members)?;
    }

    fn a_host_that_does_not_answer_is_ended_with_the_reason(daemon) {
        let _among = among_others();
        let crowd = guest(daemon, "pulse.wasm").crowd()?;
        let (victim, witness) = (Pulse::new(daemon, "stopped", 1001)?, Pulse::new(daemon, "witness", 1002)?);
        crowd.start(&[victim.member.clone(), witness.member.clone()])?;
        victim.beats()?;
        daemon.nest().end(&host_of(daemon, 1001)?, Signal::STOP)?;
        let caller = crowd.caller()?;
        eventually("the watchdog has found it", 60, || Ok(caller.tasks()?.get("stopped") == Some(&testkit::State::Stopped(139))))?;
        ensure!(victim.output().contains("did not answer"), "{}", victim.output());
        witness.beats()?;
        assert_eq!(caller.delete("stopped")?, Some(139));
        crowd.remove(&[witness.member])?;
    }
}
