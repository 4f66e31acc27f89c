//! Says `spinning`, then computes for ever.

async fn run() -> Result<(), ()> {
    guests_p3::print("spinning\n").await?;
    let mut number = 0u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

guests_p3::command!(run);
