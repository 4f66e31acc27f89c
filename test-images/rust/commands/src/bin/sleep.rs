//! `sleep [SECONDS]` (3600 by default; fractions allowed): prints `sleeping`, sleeps, prints `woke`.

use std::io::Write;
use std::time::Duration;

fn main() {
    let seconds = std::env::args().nth(1).map_or(3600.0, |seconds| seconds.parse().expect("usage: sleep [SECONDS]"));
    println!("sleeping");
    std::io::stdout().flush().expect("stdout is open");
    std::thread::sleep(Duration::from_secs_f64(seconds));
    println!("woke");
}
