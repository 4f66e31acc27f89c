//! What the host's clocks and random source say, a `key: value` a line:
//! `monotonic-ms` (measured around a wait of 50 ms), `wall-seconds` since 1970, `wall` plausible (after 2025-01-01) or
//! implausible, `random` 16 bytes in hex.

use guests_p3::print;
use wasip3::clocks::{monotonic_clock, system_clock};
use wasip3::random::random;

const START_OF_2025: i64 = 1_735_689_600;

async fn run() -> Result<(), ()> {
    let start = monotonic_clock::now();
    monotonic_clock::wait_for(50_000_000).await;
    print(format!("monotonic-ms: {}\n", (monotonic_clock::now() - start) / 1_000_000)).await?;

    let wall = system_clock::now().seconds;
    print(format!("wall-seconds: {wall}\n")).await?;
    let plausible = if wall > START_OF_2025 { "plausible" } else { "implausible" };
    print(format!("wall: {plausible}\n")).await?;

    let bytes = random::get_random_bytes(16);
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    print(format!("random: {hex}\n")).await
}

guests_p3::command!(run);
