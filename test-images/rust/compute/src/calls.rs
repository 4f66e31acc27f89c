//! Calls and little else: direct ones (recursion), and indirect ones through a table that the compiler cannot see through.

use std::hint::black_box;

const DEPTH: u32 = 37;
const TURNS: u32 = 80_000_000;

pub fn run() -> u64 {
    let direct = fibonacci(black_box(DEPTH));
    assert_eq!(direct, 24_157_817);
    let table: [fn(u64) -> u64; 4] =
        black_box([|n| n.wrapping_add(7), |n| n.rotate_left(3), |n| n ^ 0x55, |n| n.wrapping_mul(5)]);
    (0..TURNS).fold(direct, |value, turn| table[(turn & 3) as usize](value))
}

#[inline(never)]
fn fibonacci(n: u32) -> u64 {
    if n < 2 { u64::from(n) } else { fibonacci(n - 1) + fibonacci(n - 2) }
}
