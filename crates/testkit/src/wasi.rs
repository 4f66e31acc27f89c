//! The ways in which a guest speaks WASI.

use std::fmt;

/// A release of WASI: most guests of test-images are built for several, so that each is asked the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wasi {
    /// Preview 1: a core module.
    P1,
    /// 0.2: a component.
    P2,
    /// 0.3: a component with async functions.
    P3,
}

impl Wasi {
    /// The file of a guest in this form: `hello` is `hello.p1.wasm`, `hello.wasm` or `hello.p3.wasm`.
    pub fn file(self, guest: &str) -> String {
        match self {
            Wasi::P1 => format!("{guest}.p1.wasm"),
            Wasi::P2 => format!("{guest}.wasm"),
            Wasi::P3 => format!("{guest}.p3.wasm"),
        }
    }
}

impl fmt::Display for Wasi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Wasi::P1 => "p1",
            Wasi::P2 => "p2",
            Wasi::P3 => "p3",
        })
    }
}
