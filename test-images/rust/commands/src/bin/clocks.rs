//! What the host's clocks and random source say, a `key: value` a line:
//! `monotonic-ms` (measured around a sleep of 50 ms), `wall-seconds` since 1970, `wall` plausible (after 2025-01-01) or
//! implausible, `random` 16 bytes in hex.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const START_OF_2025: u64 = 1_735_689_600;

fn main() {
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(50));
    println!("monotonic-ms: {}", start.elapsed().as_millis());

    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    println!("wall-seconds: {wall}");
    println!("wall: {}", if wall > START_OF_2025 { "plausible" } else { "implausible" });

    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => println!("random: {}", bytes.map(|byte| format!("{byte:02x}")).concat()),
        Err(error) => println!("random: error: {error}"),
    }
}
