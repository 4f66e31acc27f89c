//! A line on each of stdout and stderr.

async fn run() -> Result<(), ()> {
    guests_p3::print("this is stdout\n").await?;
    guests_p3::complain("this is stderr\n").await
}

guests_p3::command!(run);
