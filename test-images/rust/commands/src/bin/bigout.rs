//! `bigout MIB`: writes MIB mebibytes to stdout, 16384 lines of 64 bytes each: the line's number from 0 in ten digits, a
//! space, `x` up to byte 63, a newline. A lost, doubled or torn line shows.

use std::io::{BufWriter, Write};

const LINES_PER_MIB: u64 = 16 * 1024;

fn main() -> std::io::Result<()> {
    let mib: u64 = std::env::args().nth(1).and_then(|mib| mib.parse().ok()).expect("usage: bigout MIB");
    let mut output = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    for number in 0..mib * LINES_PER_MIB {
        writeln!(output, "{number:010} {:x<52}", "")?;
    }
    output.flush()
}
