//! `config KEY...`: what wasi:config has of each key, then all keys that it has.

wit_bindgen::generate!({ path: "../wit/config.wit" });

use wasi::config::store;

fn main() {
    for key in std::env::args().skip(1) {
        println!("{key}: {:?}", store::get(&key));
    }
    let all = store::get_all().expect("the host has a configuration");
    println!("keys: {}", all.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "));
}
