//! The main function returns an error. Built for p1 only: the p2 guest of this name is the crate `failing-run`.

fn main() -> Result<(), &'static str> {
    Err("this guest fails on purpose")
}
