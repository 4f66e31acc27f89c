//! What a guest was told about names: the other half of a decision by name.
//!
//! An answer is *not* forgotten with its record's time to live. Guests look a name up once and connect for hours:
//! connection pools, retries and whole languages keep addresses, and a grant that ends in the middle of that would be
//! an outage that nobody can explain. Nor would it keep anybody out: whoever may ask for the name may ask again. What
//! bounds the memory is its size, and a day without use: an address that nobody used for so long may be somebody else's.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{name, special};

/// Pairs of a name and an address. The one that was unused for longest goes first.
const MOST: usize = 1024;

/// How long a pair is remembered after it was told or used.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The addresses that a guest got by asking for names, each with the name.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Most recently told or used first.
    known: VecDeque<Answer>,
}

#[derive(Clone, Debug)]
struct Answer {
    address: IpAddr,
    name: Arc<str>,
    last: Instant,
}

impl Answers {
    /// Remembers that the guest asked for `name` and was told `addresses`. What is no name is not remembered.
    pub fn tell(&mut self, name: &str, addresses: &[IpAddr], now: Instant) {
        let Ok(name) = name::canonical(name) else { return };
        let name: Arc<str> = name.into();
        for address in addresses.iter().map(|address| special::canonical(*address)) {
            self.known.retain(|known| known.address != address || known.name != name);
            self.known.push_front(Answer { address, name: name.clone(), last: now });
        }
        self.known.truncate(MOST);
    }

    /// Whether the guest got `address` by asking for a name that is `good`; if so, the answer was used.
    pub(super) fn use_if(&mut self, address: IpAddr, now: Instant, good: impl Fn(&str) -> bool) -> bool {
        self.forget(now);
        let address = special::canonical(address);
        let found = self.known.iter().position(|known| known.address == address && good(&known.name));
        let Some(mut answer) = found.and_then(|at| self.known.remove(at)) else { return false };
        answer.last = now;
        self.known.push_front(answer);
        true
    }

    /// The last name of those that gave `address`.
    pub fn name_of(&self, address: IpAddr) -> Option<&str> {
        let address = special::canonical(address);
        self.known.iter().find(|known| known.address == address).map(|known| &*known.name)
    }

    /// They stand in the order of their last use: the old ones are at the end.
    fn forget(&mut self, now: Instant) {
        while self.known.back().is_some_and(|oldest| now.saturating_duration_since(oldest.last) > LIFE) {
            self.known.pop_back();
        }
    }

    /// How many pairs are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}
