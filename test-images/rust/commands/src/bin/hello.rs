//! The smallest useful guest: one line on stdout and nothing else.

fn main() {
    println!("hello from run-wasm");
}
