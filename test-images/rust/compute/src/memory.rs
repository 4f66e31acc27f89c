//! Loads that miss the caches: a walk along a chain whose links lie at random in more memory than any cache holds.

use std::hint::black_box;
use std::time::Duration;

use crate::timed;

/// 64 MiB of links.
const LINKS: usize = 16 << 20;
const LOADS: u32 = 8_000_000;

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

/// One cycle through all links, in an order that no prefetcher foresees (Sattolo's shuffle).
fn chain() -> Vec<u32> {
    let mut chain: Vec<u32> = (0..LINKS as u32).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..LINKS).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        chain.swap(last, (random % last as u64) as usize);
    }
    chain
}
