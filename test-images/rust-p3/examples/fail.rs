//! A line on stderr, then an error: `run` returns err.

async fn run() -> Result<(), ()> {
    guests_p3::complain("failing\n").await?;
    Err(())
}

guests_p3::command!(run);
