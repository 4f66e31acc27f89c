//! `memory-hog MIB [SECONDS [MORE]]`: allocates and touches MIB mebibytes, one at a time, says so each 16, prints `done`, keeps
//! them for SECONDS, and touches MORE of them then. Where an allocation is refused: `refused at N MiB` and exit 1.

use std::io::Write;
use std::time::Duration;

const MIB: usize = 1024 * 1024;
const PAGE: usize = 4096;

fn touched_mebibyte() -> Option<Vec<u8>> {
    let mut block = Vec::new();
    block.try_reserve_exact(MIB).ok()?;
    block.resize(MIB, 0);
    for page in block.chunks_mut(PAGE) {
        page[0] = 1;
    }
    Some(std::hint::black_box(block))
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("stdout is open");
}

fn keep(kept: &mut Vec<Vec<u8>>, more: usize) {
    for count in kept.len() + 1..=kept.len() + more {
        let Some(block) = touched_mebibyte() else {
            say(&format!("refused at {count} MiB"));
            std::process::exit(1);
        };
        kept.push(block);
        if count % 16 == 0 {
            say(&format!("{count} MiB"));
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next().and_then(|mib| mib.parse::<usize>().ok()).expect("usage: memory-hog MIB [SECONDS]");
    let seconds = arguments.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    let more = arguments.next().and_then(|mib| mib.parse().ok()).unwrap_or(0);
    let mut kept = Vec::new();
    keep(&mut kept, wanted);
    say("done");
    std::thread::sleep(Duration::from_secs(seconds));
    keep(&mut kept, more);
}
