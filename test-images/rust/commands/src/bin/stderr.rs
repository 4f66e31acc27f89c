//! One line to each of the two outputs.

fn main() {
    println!("this is stdout");
    eprintln!("this is stderr");
}
