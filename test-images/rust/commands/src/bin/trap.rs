//! Traps (`unreachable`) at the end of a chain of named functions: the backtrace shows inner, middle and outer.

use std::hint::black_box;

#[inline(never)]
fn outer(depth: u32) -> u32 {
    middle(black_box(depth) + 1) + 1
}

#[inline(never)]
fn middle(depth: u32) -> u32 {
    inner(black_box(depth) + 1) + 1
}

#[inline(never)]
fn inner(depth: u32) -> u32 {
    if black_box(depth) == 2 {
        core::arch::wasm32::unreachable();
    }
    depth
}

fn main() {
    println!("about to trap");
    println!("not reached: {}", outer(0));
}
