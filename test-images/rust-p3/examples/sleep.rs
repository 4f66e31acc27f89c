//! `sleep [SECONDS]`: says `sleeping`, waits on the clock (3600 seconds by default), says `woke`.

use guests_p3::{arguments, print};
use wasip3::clocks::monotonic_clock;

async fn run() -> Result<(), ()> {
    let seconds = arguments().first().map_or(Ok(3600), |seconds| seconds.parse::<u64>());
    print("sleeping\n").await?;
    monotonic_clock::wait_for(seconds.expect("usage: sleep [SECONDS]") * 1_000_000_000).await;
    print("woke\n").await
}

guests_p3::command!(run);
