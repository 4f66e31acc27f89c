//! PEM (RFC 7468): what we write ourselves, and sections of labels that TLS does not know.

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

/// The content of the first section of that label.
pub fn decode(label: &str, text: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (content, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let content: String = content.chars().filter(|char| !char.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(content).ok()
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

    #[test]
    fn what_is_written_is_read() {
        let text = encode("Y", b"other") + &encode("X", &[7; 100]);
        assert_eq!(decode("X", text.as_bytes()).unwrap(), [7; 100]);
        assert_eq!(decode("Z", text.as_bytes()), None);
        assert_eq!(decode("X", text.replace("-----END X", "-----END Z").as_bytes()), None);
    }
}
