//! What a file is, by its first bytes.

/// Wasmtime's mark in the OS/ABI byte of the ELF files it writes (`ELFOSABI_WASMTIME` in `wasmtime-environ`); without it
/// Wasmtime takes no file for its own.
const ELFOSABI_WASMTIME: u8 = 200;

/// How many bytes of a file [`sniff`] wants to see. Fewer do when the file has no more.
pub const HEAD: usize = 4096;

/// What a file is. Only the first two, and text that turns out to be WAT, can run as Wasm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A WebAssembly component.
    Component,
    /// A core WebAssembly module.
    Module,
    /// WebAssembly text.
    Wat,
    /// Machine code that Wasmtime made: never run when it comes in an image.
    Precompiled,
    /// A native program or library.
    Elf,
    /// A native script with an interpreter line.
    Script,
    /// No byte at all.
    Empty,
    /// Something else.
    Unknown,
}

impl Kind {
    /// Part of a sentence: "hello.wasm is …".
    pub fn describe(self) -> &'static str {
        match self {
            Kind::Component => "a WebAssembly component",
            Kind::Module => "a WebAssembly module",
            Kind::Wat => "WebAssembly text",
            Kind::Precompiled => {
                "machine code precompiled by Wasmtime (.cwasm), which is never run out of an image"
            }
            Kind::Elf => "a native ELF file",
            Kind::Script => "a native script",
            Kind::Empty => "empty",
            Kind::Unknown => "neither WebAssembly nor a native program",
        }
    }

    /// Whether it is Wasm in its binary form.
    pub fn is_wasm_binary(self) -> bool {
        matches!(self, Kind::Component | Kind::Module)
    }

    /// Whether it is a native program by its form.
    pub fn is_native(self) -> bool {
        matches!(self, Kind::Elf | Kind::Script)
    }
}

/// Tells what a file is from its beginning ([`HEAD`] bytes, or the whole file when it is shorter).
pub fn sniff(head: &[u8]) -> Kind {
    match head {
        [] => Kind::Empty,
        // Version 1, layer 0 is a module; layer 1 a component, whatever its version: the engine judges versions.
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Kind::Module,
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Kind::Component,
        [0x7f, b'E', b'L', b'F', _, _, _, ELFOSABI_WASMTIME, ..] => Kind::Precompiled,
        [0x7f, b'E', b'L', b'F', ..] => Kind::Elf,
        [b'#', b'!', ..] => Kind::Script,
        text if starts_like_wat(text) => Kind::Wat,
        _ => Kind::Unknown,
    }
}

/// Whether the first thing after white space and comments is an opening parenthesis.
fn starts_like_wat(mut text: &[u8]) -> bool {
    loop {
        text = text.trim_ascii_start();
        text = match text {
            [b'(', b';', rest @ ..] => match after_block_comment(rest) {
                Some(rest) => rest,
                None => return false,
            },
            [b';', b';', rest @ ..] => match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => rest.get(end..).unwrap_or_default(),
                None => return false,
            },
            [b'(', ..] => return true,
            _ => return false,
        }
    }
}

/// What follows a block comment that has just been opened. Block comments nest.
fn after_block_comment(mut text: &[u8]) -> Option<&[u8]> {
    let mut depth = 1;
    while depth > 0 {
        text = match text {
            [b'(', b';', rest @ ..] => {
                depth += 1;
                rest
            }
            [b';', b')', rest @ ..] => {
                depth -= 1;
                rest
            }
            [_, rest @ ..] => rest,
            [] => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn modules_and_components_are_told_apart() {
        assert_eq!(sniff(&wat::parse_str("(module)").unwrap()), Kind::Module);
        assert_eq!(sniff(&wat::parse_str("(component)").unwrap()), Kind::Component);
    }

    #[test]
    fn text_is_wasm_only_when_it_opens_a_parenthesis() {
        for text in [
            "(module)",
            "\n\t (component)",
            ";; hello\n(module)",
            "(; a (; nested ;) comment ;)\n;;x\n(module)",
        ] {
            assert_eq!(sniff(text.as_bytes()), Kind::Wat, "{text}");
        }
        for text in
            ["module", ";; only a comment", "(; never closed (module)", "\u{feff}(module)", " ", "; (module)"]
        {
            assert_eq!(sniff(text.as_bytes()), Kind::Unknown, "{text}");
        }
    }

    #[test]
    fn precompiled_code_is_no_native_program() {
        let mut elf = *b"\x7fELF\x02\x01\x01\x00\0\0\0\0\0\0\0\0";
        assert_eq!(sniff(&elf), Kind::Elf);
        elf[7] = 200;
        assert_eq!(sniff(&elf), Kind::Precompiled);
    }

    #[test]
    fn the_rest_is_what_it_is() {
        assert_eq!(sniff(b""), Kind::Empty);
        assert_eq!(sniff(b"#!/bin/sh\n"), Kind::Script);
        assert_eq!(sniff(b"\0asm"), Kind::Unknown);
        assert_eq!(sniff(b"\x7fELF"), Kind::Elf);
        assert_eq!(sniff(b"PK\x03\x04"), Kind::Unknown);
    }

    proptest! {
        #[test]
        fn any_bytes_are_something(bytes: Vec<u8>, prefix in "[(; \n]{0,20}") {
            prop_assert!(!sniff(&bytes).describe().is_empty());
            prop_assert!(!sniff(&[prefix.as_bytes(), &bytes].concat()).is_wasm_binary() || prefix.is_empty());
        }
    }
}
