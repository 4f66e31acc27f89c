//! `bigout MIB`: writes MIB of numbered lines of 64 bytes, 64 KiB at a time.

use guests_p3::{arguments, print};

const LINES_OF_A_MIB: u64 = 16 * 1024;

async fn run() -> Result<(), ()> {
    let mib = arguments().first().and_then(|mib| mib.parse::<u64>().ok()).expect("usage: bigout MIB");
    for first in (0..mib * LINES_OF_A_MIB).step_by(1024) {
        let lines = (first..first + 1024).map(|number| format!("{number:010} {:x<52}\n", ""));
        print(lines.collect::<String>()).await?;
    }
    Ok(())
}

guests_p3::command!(run);
