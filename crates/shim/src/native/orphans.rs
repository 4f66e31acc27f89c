//! Processes that end as children of this one without being anybody's: what a container of the node's process namespace left
//! behind, or a runtime that was killed.

use std::collections::HashSet;
use std::fs;
use std::sync::Once;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// How long a child that has ended may wait for its owner, who reaps it at once.
const GRACE: Duration = Duration::from_secs(10);

/// Reaps them from now on. To be asked for in a tokio runtime that stays.
pub fn reap_from_now_on() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| drop(tokio::spawn(reap_for_ever(GRACE, children))));
}

/// A child is nobody's when it has ended and is still there a round later: each has an owner that waits for it alone, and no
/// exit is taken from anyone who listens.
async fn reap_for_ever(grace: Duration, children: impl Fn() -> Vec<Pid>) {
    let mut before = HashSet::new();
    loop {
        tokio::time::sleep(grace).await;
        let ended: HashSet<Pid> = children().into_iter().filter(|pid| has_ended(*pid)).collect();
        for pid in ended.intersection(&before) {
            if let Ok(Some(_)) = waitid(WaitId::Pid(*pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                tracing::debug!(pid = pid.as_raw_nonzero(), "reaped an orphan");
            }
        }
        before = ended;
    }
}

/// Looks without reaping.
fn has_ended(pid: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(pid), look), Ok(Some(_)))
}

fn children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids = lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[tokio::test]
    async fn an_orphan_is_reaped_and_no_owner_is_robbed() {
        const ROUND: Duration = Duration::from_millis(50);
        let forgotten = Command::new("true").spawn().unwrap().id();
        let mut owned = tokio::process::Command::new("sh").args(["-c", "sleep 0.2; exit 3"]).spawn().unwrap();
        // The children of other tests are theirs.
        let mine: Vec<Pid> = [Some(forgotten), owned.id()]
            .into_iter()
            .flatten()
            .filter_map(|pid| Pid::from_raw(pid.cast_signed()))
            .collect();
        let own = move || children().into_iter().filter(|pid| mine.contains(pid)).collect();
        let reaper = tokio::spawn(reap_for_ever(ROUND, own));
        assert_eq!(owned.wait().await.unwrap().code(), Some(3));
        while children().iter().any(|pid| pid.as_raw_nonzero().get().unsigned_abs() == forgotten) {
            tokio::time::sleep(ROUND).await;
        }
        reaper.abort();
    }
}
