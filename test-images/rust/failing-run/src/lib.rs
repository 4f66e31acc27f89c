//! `wasi:cli/run.run` returns err.

struct Fail;

impl wasip2::exports::cli::run::Guest for Fail {
    fn run() -> Result<(), ()> {
        eprintln!("this guest fails on purpose");
        Err(())
    }
}

wasip2::cli::command::export!(Fail);
