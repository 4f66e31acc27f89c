//! Hosts that die, or that do not answer.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use testkit::{Containerd, Process, eventually, tell};

use crate::pulse::{Pulse, p99};
use crate::{alone_on_the_machine, among_others, guest};

fn host_of(daemon: &Containerd, uid: u32) -> Result<Process> {
    daemon.nest().hosts()?.into_iter().find(|host| host.uid == uid).context("that user has no host")
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

        std::thread::sleep(Duration::from_secs(1));
        let counts: Vec<_> = witnesses.iter().map(Pulse::count).collect();
        daemon.nest().end(&host_of(daemon, 1001)?, Signal::KILL)?;
        std::thread::sleep(Duration::from_secs(1));
        for (witness, count) in witnesses.iter().zip(counts) {
            let all = witness.intervals(0);
            let (before, after) = all.split_at(count.min(all.len()));
            let (before, after) = (p99(before.to_vec())?, p99(after.to_vec())?);
            tell(&format!(
                "{:?}: kill -9 of one host of three: {} spoke every {before:?} (p99) before, {after:?} in that second",
                daemon.version(), witness.member.id()
            ));
            ensure!(after <= 2 * before + Duration::from_millis(20), "{} has noticed", witness.member.id());
        }

        let caller = crowd.caller()?;
        assert_eq!(caller.wait("of-1001")?, 139);
        ensure!(victim.output().contains("the engine host was ended by signal 9"), "{}", victim.output());
        assert_eq!(caller.delete("of-1001")?, Some(139));
        events.wait_for("of-1001", "/tasks/delete")?;
        assert_eq!(events.of_task("of-1001"), ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
        drop(events);
        witnesses.iter().try_for_each(Pulse::beats)?;
        let again = [Pulse::new(daemon, "again", 1001)?.member];
        crowd.start(&again)?;
        assert_eq!(daemon.nest().hosts()?.len(), 3, "the group has a fresh one");
        crowd.remove(&again)?;
        crowd.remove(members.get(1..).unwrap_or_default())?;
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
