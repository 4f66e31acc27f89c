//! Prints one line and nothing else.

use guests_p3::print;

async fn run() -> Result<(), ()> {
    print("hello from run-wasm\n").await
}

guests_p3::command!(run);
