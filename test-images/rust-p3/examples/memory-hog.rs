//! `memory-hog MIB [SECONDS]`: allocates and touches MIB mebibytes, one at a time, says so each 16, prints `done`, and keeps
//! them for SECONDS.

use guests_p3::{arguments, print};
use wasip3::clocks::monotonic_clock;

async fn run() -> Result<(), ()> {
    let mut arguments = arguments().into_iter().map(|number| number.parse::<u64>());
    let wanted = arguments.next().and_then(Result::ok).expect("usage: memory-hog MIB [SECONDS]");
    let seconds = arguments.next().and_then(Result::ok).unwrap_or(0);
    let mut kept = Vec::new();
    for count in 1..=wanted {
        kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        if count % 16 == 0 {
            print(format!("{count} MiB\n")).await?;
        }
    }
    print("done\n").await?;
    monotonic_clock::wait_for(seconds * 1_000_000_000).await;
    drop(kept);
    Ok(())
}

guests_p3::command!(run);
