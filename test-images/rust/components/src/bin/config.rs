//! `config KEY...`: what wasi:config has of each key, then all keys that it has.

wit_bindgen::generate!({
    inline: "
        package wasi:config@0.2.0-rc.1;
        interface store {
            variant error { upstream(string), io(string) }
            get: func(key: string) -> result<option<string>, error>;
            get-all: func() -> result<list<tuple<string, string>>, error>;
        }
        world guest { import store; }
    ",
});

use wasi::config::store;

fn main() {
    for key in std::env::args().skip(1) {
        println!("{key}: {:?}", store::get(&key));
    }
    let all = store::get_all().expect("the host has a configuration");
    println!("keys: {}", all.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "));
}
