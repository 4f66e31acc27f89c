//! Exits with the number in `argv[1]`, from 0 to 255, behind a line that is still on its way.

use guests_p3::{arguments, print};
use wasip3::cli::exit;

async fn run() -> Result<(), ()> {
    let code = arguments().first().and_then(|code| code.parse().ok());
    print("exiting\n").await?;
    exit::exit_with_code(code.expect("usage: exit NUMBER, from 0 to 255"));
    Ok(())
}

guests_p3::command!(run);
