//! Three named functions. The p1 module has the same core exports, of which `run-me` needs no canonical ABI.

wit_bindgen::generate!({
    inline: "
        package run-wasm:guests;
        world library {
            export add: func(a: s32, b: s32) -> s32;
            export greet: func() -> string;
            export run-me: func();
        }
    ",
});

struct Library;

impl Guest for Library {
    fn add(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }

    fn greet() -> String {
        "hello from a library".to_owned()
    }

    fn run_me() {
        println!("run-me was called");
    }
}

export!(Library);
