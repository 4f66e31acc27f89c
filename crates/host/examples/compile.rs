//! `compile IN OUT`: Wasm or WAT to code that the example `run` starts.

use std::fs::File;

use grants::{Mode, Profile};
use host::compile::{Limits, compile};
use host::engine::Build;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(input), Some(output)) = (args.next(), args.next()) else {
        return Err("usage: compile IN OUT".into());
    };
    let build = Build { profile: Profile::Standard, mode: Mode::Normal };
    let report = compile(File::open(&input)?, File::create(output)?, build, Limits { input: 1 << 30 });
    println!("{:?}", report.map_err(|error| format!("{input}: {error}"))?);
    Ok(())
}
