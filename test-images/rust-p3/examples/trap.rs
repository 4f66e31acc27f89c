//! Traps (`unreachable`) at the end of a chain of named functions, behind an await: the backtrace shows inner, middle and
//! outer.

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

async fn run() -> Result<(), ()> {
    guests_p3::print("about to trap\n").await?;
    guests_p3::print(format!("not reached: {}\n", outer(0))).await
}

guests_p3::command!(run);
