//! `compute KERNEL`: works for some hundred milliseconds and prints how many they were, by its own clock, and nothing else.

mod calls;
mod float;
mod integer;
mod memory;
mod simd;

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Runs `work`, all of which counts.
fn timed<R>(work: impl FnOnce() -> R) -> Duration {
    let begin = Instant::now();
    black_box(work());
    begin.elapsed()
}

fn main() {
    let took = match std::env::args().nth(1).as_deref() {
        Some("integer") => timed(integer::run),
        Some("float") => timed(float::run),
        Some("memory") => memory::run(),
        Some("calls") => timed(calls::run),
        Some("simd") => simd::run(),
        _ => panic!("usage: compute integer|float|memory|calls|simd"),
    };
    println!("{:.3}", took.as_secs_f64() * 1e3);
}
