//! What a server has done so far, for whoever counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;

use crate::protocol::{LATENCIES, Served};

/// Different codes of answers that are counted: a guest has 900 to choose from. Any others are counted as the last of its hundred.
const MOST_CODES: usize = 64;

/// The counts of one server. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts(Arc<Mutex<Served>>);

impl Counts {
    fn served(&self) -> MutexGuard<'_, Served> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them.
    pub fn read(&self) -> Served {
        self.served().clone()
    }

    /// A request has come.
    pub fn began(&self) {
        self.served().in_flight += 1;
    }

    /// A request is over; it took so long from its head to the end of its answer.
    pub fn over(&self, status: StatusCode, took: Duration) {
        let mut served = self.served();
        served.in_flight = served.in_flight.saturating_sub(1);
        let code = code(&served.requests, status.as_u16());
        *served.requests.entry(code).or_default() += 1;
        let seconds = took.as_secs_f64();
        served.seconds += seconds;
        let bucket = LATENCIES.iter().position(|most| seconds <= *most);
        if let Some(count) = bucket.and_then(|bucket| served.latencies.get_mut(bucket)) {
            *count += 1;
        }
    }

    pub fn instance_began(&self) {
        self.served().instances += 1;
    }

    pub fn instance_ended(&self) {
        let mut served = self.served();
        served.instances = served.instances.saturating_sub(1);
    }

    /// An instance has failed.
    pub fn failed(&self) {
        self.served().failures += 1;
    }
}

fn code(known: &BTreeMap<u16, u64>, code: u16) -> u16 {
    match known.contains_key(&code) || known.len() < MOST_CODES {
        true => code,
        false => code / 100 * 100 + 99,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_by_its_code_and_in_the_bucket_of_its_time() {
        let counts = Counts::default();
        counts.began();
        counts.began();
        counts.over(StatusCode::OK, Duration::from_micros(700));
        let served = counts.read();
        assert_eq!((served.in_flight, served.requests.get(&200)), (1, Some(&1)));
        assert_eq!(served.latencies.first(), Some(&1));
        counts.over(StatusCode::BAD_GATEWAY, Duration::from_secs(3600));
        let served = counts.read();
        assert_eq!((served.in_flight, served.latencies.iter().sum::<u64>()), (0, 1), "beyond all buckets");
    }

    #[test]
    fn codes_that_nobody_expects_take_no_room() {
        let counts = Counts::default();
        for number in 100..1000 {
            counts.over(StatusCode::from_u16(number).unwrap(), Duration::ZERO);
        }
        let served = counts.read();
        assert!(served.requests.len() <= MOST_CODES + 9, "{}", served.requests.len());
        assert_eq!(served.requests.values().sum::<u64>(), 900);
    }
}
