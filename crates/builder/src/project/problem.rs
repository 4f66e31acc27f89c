//! Mistakes in a TOML file, as `file:line: sentence`.

use std::ops::Range;
use std::path::Path;

use anyhow::{Error, anyhow};

/// How unlike a known key an unknown one may be to be taken for a slip.
const MAX_DISTANCE: usize = 3;

/// What serde and the TOML parser say, with the line and, of an unknown key, the nearest that there is.
pub fn of_toml(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let message: Vec<&str> = error.message().split_whitespace().collect();
    let message = message.join(" ");
    let sentence = match unknown(&message) {
        Some((key, known)) => match nearest(key, &known) {
            Some(near) => format!("there is no key «{key}»: did you mean «{near}»?"),
            None => format!("there is no key «{key}», only {}", known.join(", ")),
        },
        None => message,
    };
    at(path, text, error.span(), &sentence)
}

/// `sentence` about what stands at `span`. It quotes the file, which may come from a stranger's repository.
pub fn at(path: &Path, text: &str, span: Option<Range<usize>>, sentence: &str) -> Error {
    let sentence = tame(sentence);
    let before = span.and_then(|span| text.get(..span.start));
    match before {
        Some(before) => anyhow!("{}:{}: {sentence}", path.display(), before.matches('\n').count() + 1),
        None => anyhow!("{}: {sentence}", path.display()),
    }
}

/// The same on one line, without what steers a terminal, and short.
pub fn tame(sentence: &str) -> String {
    const MOST: usize = 1000;
    image::tame(sentence, MOST)
}

/// What is nearest to `key`, when it is near.
pub fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|known| (strsim::damerau_levenshtein(key, known), *known));
    distances
        .min()
        .filter(|(distance, _)| *distance <= MAX_DISTANCE.min(key.len() / 2 + 1))
        .map(|(_, known)| known)
}

/// The key, and those that are known, of serde's "unknown field `a`, expected one of `b`, `c`".
fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let key = quoted.next()?;
    Some((key, quoted.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_steers_no_terminal() {
        let error =
            at(Path::new("run.toml"), "a\nb", Some(2..3), &format!("«\u{1b}[2J»{}", "x".repeat(2000)));
        let sentence = error.to_string();
        assert!(sentence.starts_with("run.toml:2: «\\u{1b}[2J»x") && sentence.ends_with("x…"), "{sentence}");
        assert!(sentence.len() < 1100, "{sentence}");
    }

    #[test]
    fn a_slip_is_told_from_nonsense() {
        let known = ["name", "version", "components"];
        assert_eq!(nearest("component", &known), Some("components"));
        assert_eq!(nearest("verison", &known), Some("version"));
        assert_eq!(nearest("publisher", &known), None);
        assert_eq!(nearest("x", &known), None);
    }
}
