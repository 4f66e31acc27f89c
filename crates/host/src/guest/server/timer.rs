//! hyper's timers, by tokio's clock.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

/// The timer of one connection. Clones are the same one.
///
/// hyper waits for the next head of a connection again and again, never twice at a time and nearly never in vain: one timer of
/// tokio's stays set, and is set anew only where it goes off too early or would too late.
#[derive(Clone, Default)]
pub(super) struct Timer(Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>);

struct Sleep {
    timer: Timer,
    deadline: Instant,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.into();
        let mut timer = self.timer.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sleep = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            if sleep.deadline() > deadline {
                sleep.as_mut().reset(deadline);
            }
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

impl hyper::rt::Sleep for Sleep {}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep { timer: self.clone(), deadline })
    }
}

/// tokio's clock, for what waits for several things at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timers;

impl hyper::rt::Timer for Timers {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Timer::default().sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Timer::default().sleep_until(deadline)
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;
    use tokio::time::timeout;

    use super::*;

    /// How long a wait takes behind another one that was given up.
    async fn after(given_up: Duration, wait: Duration) -> Duration {
        let timer = Timer::default();
        assert!(timeout(Duration::from_millis(1), timer.sleep(given_up)).await.is_err());
        let begin = Instant::now();
        assert!(timeout(Duration::from_secs(60), timer.sleep(wait)).await.is_ok());
        begin.elapsed()
    }

    #[tokio::test]
    async fn a_wait_ends_in_its_own_time_whatever_was_waited_for_before() {
        let wait = Duration::from_millis(30);
        assert!(after(Duration::from_millis(10), wait).await >= wait);
        assert!(after(Duration::from_secs(3600), wait).await >= wait);
    }
}
