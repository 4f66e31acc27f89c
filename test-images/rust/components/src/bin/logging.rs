//! `logging MESSAGE`: logs it at every level by wasi:logging, in the context `guest`, and once without a context.

wit_bindgen::generate!({
    inline: "
        package wasi:logging;
        interface logging {
            enum level { trace, debug, info, warn, error, critical }
            log: func(level: level, context: string, message: string);
        }
        world guest { import logging; }
    ",
});

use wasi::logging::logging::{log, Level};

fn main() {
    let message = std::env::args().nth(1).expect("usage: logging MESSAGE");
    for level in [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Critical] {
        log(level, "guest", &message);
    }
    log(Level::Info, "", "done");
}
