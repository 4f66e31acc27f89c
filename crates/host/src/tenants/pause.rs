//! A container that stands still until it is resumed. Its guests stop at the end of their turn, timers included: what has
//! run out meanwhile is heard of then.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Pause {
    on: AtomicBool,
    resumed: Notify,
}

impl Pause {
    pub fn set(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
        if !on {
            self.resumed.notify_waiters();
        }
    }

    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// Waits for its end.
    pub async fn over(&self) {
        loop {
            let resumed = self.resumed.notified();
            if !self.is_on() {
                return;
            }
            resumed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_goes_on_when_it_is_over() {
        let pause = Arc::new(Pause::default());
        pause.over().await;
        pause.set(true);
        let waiting = tokio::spawn({
            let pause = pause.clone();
            async move { pause.over().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        pause.set(false);
        waiting.await.unwrap();
    }
}
