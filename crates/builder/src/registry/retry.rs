//! When to ask again, and when to give up.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::error::RegistryError;
use super::progress::{Event, Teller};

/// How long the registry is borne with.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How often something is tried in all.
    pub attempts: u32,
    /// The mean wait before the second attempt; it doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait, also when the registry asks for more by `Retry-After`: then we give up at once.
    pub longest_wait: Duration,
    /// After which time without a byte (or with a trickle) the connection is given up for lost.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            attempts: 6,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(120),
            stall: Duration::from_secs(60),
        }
    }
}

/// Why one attempt failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// No connection came about.
    Unreachable(String),
    /// A connection broke or stalled.
    Lost(String),
    /// 408, 429 or 5xx, with what `Retry-After` asks for.
    Busy { status: u16, why: String, after: Option<Duration> },
    /// Another attempt would end alike.
    Final(RegistryError),
}

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Fault {
        Fault::Final(error)
    }
}

/// The attempts at one thing.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    patience: Patience,
    teller: &'a Teller,
    registry: &'a str,
    what: String,
    failed: u32,
}

impl<'a> Attempts<'a> {
    pub fn new(patience: Patience, teller: &'a Teller, registry: &'a str, what: String) -> Attempts<'a> {
        Attempts { patience, teller, registry, what, failed: 0 }
    }

    /// The last attempt brought something forward: the next ones count anew.
    pub fn progressed(&mut self) {
        self.failed = 0;
    }

    /// Waits until the next attempt is due.
    ///
    /// # Errors
    /// What to tell the user when there is to be none.
    pub async fn after(&mut self, fault: Fault) -> Result<(), RegistryError> {
        // Who is not there at all is given up sooner: most often the name is wrong.
        self.failed += if matches!(fault, Fault::Unreachable(_)) { 2 } else { 1 };
        let asked = match &fault {
            Fault::Busy { after, .. } => *after,
            Fault::Unreachable(_) | Fault::Lost(_) => None,
            Fault::Final(_) => return Err(self.verdict(fault)),
        };
        if let Some(asked) = asked.filter(|asked| *asked > self.patience.longest_wait) {
            return Err(RegistryError::Busy {
                registry: self.registry.into(),
                what: self.what.clone(),
                seconds: asked.as_secs(),
            });
        }
        if self.failed >= self.patience.attempts {
            return Err(self.verdict(fault));
        }
        // Clients that failed together must not come back together, even when all are told the same time.
        let wait = backoff(&self.patience, self.failed, fastrand::f64()) + asked.unwrap_or_default();
        self.teller.tell(Event::Waiting {
            registry: self.registry.into(),
            milliseconds: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            why: match fault {
                Fault::Unreachable(why) | Fault::Lost(why) => why,
                Fault::Busy { status, why, .. } => format!("{status}{why}"),
                Fault::Final(error) => error.to_string(),
            },
        });
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn verdict(&self, fault: Fault) -> RegistryError {
        let (registry, what) = (self.registry.to_owned(), self.what.clone());
        match fault {
            Fault::Final(error) => error,
            Fault::Unreachable(why) => RegistryError::Unreachable { registry, why },
            Fault::Lost(why) => RegistryError::Lost { registry, what, why },
            Fault::Busy { status, why, .. } => RegistryError::Status { registry, what, status, why },
        }
    }
}

/// The wait after the `failed`th failure: between half and one and a half of a mean that doubles each time. `dice` is in
/// 0..1.
fn backoff(patience: &Patience, failed: u32, dice: f64) -> Duration {
    let mean = patience.first_wait.saturating_mul(2u32.saturating_pow(failed.saturating_sub(1).min(16)));
    mean.mul_f64(0.5 + dice).min(patience.longest_wait)
}

/// What `Retry-After` asks for: seconds or a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            httpdate::parse_http_date(text).ok().map(|date| date.duration_since(now).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_with_jitter_up_to_the_longest() {
        let patience = Patience { longest_wait: Duration::from_secs(3), ..Patience::default() };
        let millis = |failed, dice| backoff(&patience, failed, dice).as_millis();
        assert_eq!((millis(1, 0.0), millis(1, 0.5)), (250, 500));
        assert_eq!((millis(2, 0.5), millis(3, 0.5), millis(4, 0.5)), (1000, 2000, 3000));
        assert_eq!(millis(u32::MAX, 0.9), 3000);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
        let asked = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(77)));
        assert_eq!(asked("Sat, 05 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
    }
}
