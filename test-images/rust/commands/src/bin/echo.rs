//! Copies stdin to stdout until EOF; each chunk is out before the next is read, so that a terminal can be tested, too.

use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = input.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        output.write_all(&chunk[..length])?;
        output.flush()?;
    }
}
