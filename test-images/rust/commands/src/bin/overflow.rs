//! Recurses until the call stack is exhausted.

#![allow(unconditional_recursion, reason = "the purpose")]

use std::hint::black_box;

#[inline(never)]
fn deeper(depth: u64) -> u64 {
    deeper(black_box(depth + 1)) ^ depth
}

fn main() {
    println!("about to overflow");
    println!("not reached: {}", deeper(0));
}
