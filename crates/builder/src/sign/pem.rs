//! PEM (RFC 7468) of what we write ourselves.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The characters of a line.
const LINE: usize = 64;

/// A file with one section.
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for (at, char) in BASE64_STANDARD.encode(der).chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            text.push('\n');
        }
        text.push(char);
    }
    text + &format!("\n-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_64_characters() {
        let text = encode("X", &[0; 49]);
        let lines: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lines, [17, 64, 4, 15]);
        assert_eq!(encode("X", &[0; 48]).lines().count(), 3);
    }
}
