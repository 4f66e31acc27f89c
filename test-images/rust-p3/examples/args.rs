//! Prints each argument as `arg[i]=VALUE`; the program's name is number 0.

use wasip3::cli::environment;

async fn run() -> Result<(), ()> {
    for (number, argument) in environment::get_arguments().into_iter().enumerate() {
        guests_p3::print(format!("arg[{number}]={argument}\n")).await?;
    }
    Ok(())
}

guests_p3::command!(run);
