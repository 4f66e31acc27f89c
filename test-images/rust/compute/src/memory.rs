//! Loads that miss the caches: a walk along a chain whose links lie at random in more memory than any cache holds.

use std::hint::black_box;
use std::time::Duration;

use crate::timed;

/// 64 MiB of links.
const LINKS: usize = 16 << 20;
const LOADS: u32 = 3_000_000;

/// The time of the walk alone: to lay the chain is another kind of work, and touches fresh memory.
pub fn run() -> Duration {
    let chain = chain();
    timed(|| {
        let mut link = 0_u32;
        for _ in 0..LOADS {
            link = chain[link as usize];
        }
        black_box(link)
    })
}

/// One cycle through all links, in an order that no prefetcher foresees: a linear congruential generator of full period.
fn chain() -> Vec<u32> {
    (0..LINKS as u32).map(|link| link.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % LINKS as u32).collect()
}
