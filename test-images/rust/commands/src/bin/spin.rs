//! Prints `spinning`, then computes for ever without calling the host again.

use std::io::Write;

fn main() {
    println!("spinning");
    std::io::stdout().flush().expect("stdout is open");
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
