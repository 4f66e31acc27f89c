//! Prints the environment as sorted `KEY=VALUE` lines.

use wasip3::cli::environment;

async fn run() -> Result<(), ()> {
    let mut environment = environment::get_environment();
    environment.sort();
    for (name, value) in environment {
        guests_p3::print(format!("{name}={value}\n")).await?;
    }
    Ok(())
}

guests_p3::command!(run);
