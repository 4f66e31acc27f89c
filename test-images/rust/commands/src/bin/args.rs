//! Prints each argument, the program's name first, as `arg[i]=VALUE`.

fn main() {
    for (i, argument) in std::env::args().enumerate() {
        println!("arg[{i}]={argument}");
    }
}
