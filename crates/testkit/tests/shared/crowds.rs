//! Five hundred containers whose manager ends, or whose containerd does.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use testkit::{Crowd, Member, State, eventually, tell, until};

use crate::{alone_on_the_machine, among_others, guest, manager};

const MANY: usize = 500;

/// Those of them that end by themselves.
const FEW: usize = 20;

/// How long the ends of all may take to be told.
const TOLD: Duration = Duration::from_secs(5);

fn members(count: usize, name: &str, seconds: u32) -> Vec<Member> {
    (0..count).map(|number| Member::new(format!("{name}{number}")).args([seconds.to_string()])).collect()
}

/// Whether all of them run, whatever others do.
fn all_run(crowd: &Crowd<'_>, members: &[Member]) -> Result<()> {
    let tasks = crowd.caller()?.tasks()?;
    let lost: Vec<_> = members
        .iter()
        .map(|member| (member.id(), tasks.get(member.id())))
        .filter(|(_, state)| *state != Some(&State::Running))
        .collect();
    ensure!(lost.is_empty(), "{} do not run: {:?}", lost.len(), lost.get(..lost.len().min(5)));
    Ok(())
}

testkit::stories! {
    fn the_end_of_a_manager_is_told_of_each_of_its_containers(daemon) {
        let _alone = alone_on_the_machine();
        let crowd = guest(daemon, "sleep.wasm").crowd()?;
        let members = members(MANY, "orphan", 3600);
        crowd.start(&members)?;
        all_run(&crowd, &members)?;
        let events = daemon.events()?;
        let begin = Instant::now();
        daemon.nest().end(&manager(daemon.nest())?, Signal::KILL)?;
        until("all ends are told", 60, || Ok((events.tasks_with("/tasks/exit").len() >= MANY).then_some(())))?;
        let lasted = begin.elapsed();
        tell(&format!("{:?}: kill -9 of a manager: {MANY} exits told in {:.2} s", daemon.version(), lasted.as_secs_f64()));
        ensure!(lasted <= TOLD, "{lasted:?}");
        eventually("they are deleted", 30, || Ok(events.tasks_with("/tasks/delete").len() >= MANY))?;
        drop(events);
        ensure!(crowd.caller()?.tasks()?.is_empty() && daemon.nest().hosts()?.is_empty());
        crowd.remove(&members)?;
        daemon.nest().assert_clean()?;
        assert_eq!(guest(daemon, "hello.wasm").id("orphan0").outcome()?.stdout, "hello from run-wasm\n");
    }

    fn a_containerd_that_comes_back_has_lost_no_container(daemon) {
        let _among = among_others();
        let crowd = guest(daemon, "sleep.wasm").crowd()?;
        let staying = members(MANY - 2 * FEW, "staying", 3600);
        crowd.start(&staying)?;
        for (name, end) in [("stopped", Signal::TERM), ("killed", Signal::KILL)] {
            let leaving = members(FEW, name, 2);
            crowd.start(&leaving)?;
            if end == Signal::TERM { daemon.stop()? } else { daemon.kill()? }
            let over = |member: &Member| {
                let (log, about) = (daemon.nest().managers_log(), format!("container={}", member.id()));
                log.lines().any(|line| line.contains("msg=ended") && line.split(' ').any(|word| word == about))
            };
            eventually("some end while nobody looks", 60, || Ok(leaving.iter().all(over)))?;
            let begin = Instant::now();
            daemon.begin()?;
            let came_back = begin.elapsed();
            all_run(&crowd, &staying)?;
            let caller = crowd.caller()?;
            for member in &leaving {
                assert_eq!(caller.wait(member.id())?, 0, "{} ended while containerd was away", member.id());
            }
            tell(&format!(
                "{:?}: containerd {name}: back after {:.2} s with {} running and {FEW} ended meanwhile",
                daemon.version(), came_back.as_secs_f64(), staying.len()
            ));
            crowd.remove(&leaving)?;
        }
        manager(daemon.nest())?;
        crowd.remove(&staying)?;
    }
}
