//! How far a process of a task has come: created, running, ended.

use std::time::SystemTime;

use tokio::sync::watch;

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Created,
    Running,
    Ended(End),
}

/// How and when a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// 0 to 255.
    pub code: u32,
    pub at: SystemTime,
}

/// The phase of one process, which only moves on.
#[derive(Debug)]
pub struct Progress(watch::Sender<Phase>);

impl Progress {
    pub fn new() -> Progress {
        Progress(watch::Sender::new(Phase::Created))
    }

    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Moves on from created; `false` for what was begun before, or has ended.
    pub fn begin(&self) -> bool {
        self.0.send_if_modified(|phase| {
            let created = *phase == Phase::Created;
            if created {
                *phase = Phase::Running;
            }
            created
        })
    }

    /// Records the end; only the first counts. Returns whether this was it.
    pub fn finish(&self, end: End) -> bool {
        self.0.send_if_modified(|phase| {
            let first = !matches!(phase, Phase::Ended(_));
            if first {
                *phase = Phase::Ended(end);
            }
            first
        })
    }

    /// Waits for the end.
    pub async fn ended(&self) -> End {
        let mut phase = self.0.subscribe();
        loop {
            if let Phase::Ended(end) = *phase.borrow_and_update() {
                return end;
            }
            // The sender lives as long as `self`.
            if phase.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
