//! Prints `tick N`, N from 1, each 100 ms until it is killed.

use std::io::Write;
use std::time::Duration;

fn main() {
    for number in 1_u64.. {
        println!("tick {number}");
        std::io::stdout().flush().expect("stdout is open");
        std::thread::sleep(Duration::from_millis(100));
    }
}
