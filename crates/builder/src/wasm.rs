//! Files of Wasm.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use image::compose::MAX_COMPONENT;
use image::{Kind, sniff};

/// The largest WebAssembly text that is assembled, in bytes.
const MAX_TEXT: u64 = 64 << 20;

/// Reads a component or module; WebAssembly text is assembled. Whatever is something else, or too large, is refused by its
/// beginning or its size, before it is in memory.
///
/// # Errors
/// A sentence with the path.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let size = file.metadata().with_context(|| format!("cannot read {shown}"))?.len();
    let mut bytes = Vec::new();
    let read_to = |bytes: &mut Vec<u8>, most: u64| {
        let more = most.saturating_sub(bytes.len() as u64);
        (&file).take(more).read_to_end(bytes).with_context(|| format!("cannot read {shown}"))
    };
    read_to(&mut bytes, sniff::HEAD as u64)?;
    let kind = image::sniff(&bytes);
    let limit = match kind {
        Kind::Component | Kind::Module => MAX_COMPONENT,
        Kind::Wat => MAX_TEXT,
        Kind::Precompiled => {
            bail!("{shown} is {}: give the .wasm file that it was compiled from", kind.describe())
        }
        other => bail!("{shown} is {}: give a WebAssembly component or module", other.describe()),
    };
    if size <= limit {
        // A pipe has no size: what comes is counted, too.
        read_to(&mut bytes, limit + 1)?;
    }
    if size.max(bytes.len() as u64) > limit {
        bail!("{shown} has more than {limit} bytes: no Wasm of that size can be run");
    }
    if kind != Kind::Wat {
        return Ok(bytes);
    }
    let assembled =
        wat::parse_bytes(&bytes).with_context(|| format!("{shown} is no correct WebAssembly text"))?;
    Ok(assembled.into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    /// The memory that this process has used at most, in KiB.
    fn peak() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn files_of_gigabytes_are_refused_before_they_are_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let before = peak();
        for (head, size, word) in [
            (&b"\0asm\x0d\0\x01\0"[..], 2 << 30, "has more than 1073741824 bytes"),
            (b"\0asm\x01\0\0\0", (1 << 30) + 1, "has more than 1073741824 bytes"),
            (b"(module)", 1 << 30, "has more than 67108864 bytes"),
            (b"", 2 << 30, "is neither WebAssembly nor a native program"),
        ] {
            let path = folder.path().join("large");
            let mut file = File::create(&path).unwrap();
            file.write_all(head).unwrap();
            file.set_len(size).unwrap();
            let sentence = read(&path).unwrap_err().to_string();
            assert!(sentence.contains("/large ") && sentence.contains(word), "{sentence}");
        }
        assert!(peak() < before + (256 << 10), "{} KiB more", peak() - before);
    }

    #[test]
    fn what_has_no_end_is_refused_by_its_beginning() {
        let sentence = read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(sentence.contains("/dev/zero is neither"), "{sentence}");
        assert!(read(Path::new("/")).unwrap_err().to_string().contains("cannot read /"));
    }
}
