//! `pulse MS`: each MS milliseconds prints the microseconds since it began, until it is killed.

use std::io::Write;
use std::time::{Duration, Instant};

fn main() {
    let pause = std::env::args().nth(1).and_then(|ms| ms.parse().ok()).expect("usage: pulse MS");
    let begin = Instant::now();
    loop {
        println!("{}", begin.elapsed().as_micros());
        std::io::stdout().flush().expect("stdout is open");
        std::thread::sleep(Duration::from_millis(pause));
    }
}
