//! Prints the environment as sorted `KEY=VALUE` lines.

use std::collections::BTreeMap;

fn main() {
    for (key, value) in std::env::vars().collect::<BTreeMap<_, _>>() {
        println!("{key}={value}");
    }
}
