//! Exits with the number in `argv[1]`, from 0 to 255. In p2 std knows success and failure alone, so the component calls
//! `exit-with-code` itself, which WASI has since 0.2.12.

#[cfg(target_env = "p2")]
mod with_code {
    wit_bindgen::generate!({
        inline: "
            package wasi:cli@0.2.12;
            interface exit {
                exit: func(status: result);
                exit-with-code: func(status-code: u8);
            }
            world exiting {
                import exit;
            }
        ",
    });

    pub fn exit(code: u8) {
        wasi::cli::exit::exit_with_code(code);
    }
}

#[cfg(not(target_env = "p2"))]
mod with_code {
    pub fn exit(code: u8) {
        std::process::exit(code.into());
    }
}

fn main() {
    let code = std::env::args().nth(1).and_then(|code| code.parse().ok());
    with_code::exit(code.expect("usage: exit NUMBER, from 0 to 255"));
}
