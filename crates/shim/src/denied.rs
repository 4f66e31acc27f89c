//! What a guest was denied, as its host tells it: for the log, where an admin looks for the grant that is missing.
//!
//! A host may lie. It cannot make the shim write without end: of each kind the first call is logged, and a report that
//! does not count at least ten times the one before it is against the protocol.

use std::collections::{BTreeMap, HashMap};

use host::protocol::{Counts, Denial, Kind};

/// The most of a sentence that is logged, in characters.
const LONGEST: usize = 400;

/// Of one container, what its host has told so far.
#[derive(Debug, Default)]
pub struct Denied(BTreeMap<Kind, u64>);

impl Denied {
    /// Takes a report. Returns the line to log, if this is the first of its kind.
    ///
    /// # Errors
    /// A host that tells more than the protocol allows.
    pub fn take(&mut self, denial: &Denial) -> anyhow::Result<Option<String>> {
        let before = self.0.insert(denial.kind, denial.count);
        let least = before.map_or(1, |before| before.saturating_mul(10));
        anyhow::ensure!(denial.count >= least, "it tells of denied calls more often than it may");
        Ok(before.is_none().then(|| printable(&denial.sentence)))
    }

    /// What its host has told so far, by the names of kinds.
    pub fn counts(&self) -> HashMap<String, u64> {
        self.0.iter().map(|(kind, count)| (kind.to_string(), *count)).collect()
    }

    /// All of it in one line at the container's end, such as `connect 12, http 1`; `None` when nothing was denied.
    /// `exact` are the host's last counts: without them, what it told before is the least that there was.
    pub fn sum(&self, exact: Option<&Counts>) -> Option<String> {
        let (prefix, counts) = match exact {
            Some(counts) => ("", counts),
            None => ("at least ", &self.0),
        };
        let parts: Vec<String> =
            counts.iter().map(|(kind, count)| format!("{kind} {prefix}{count}")).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Untrusted text as it may stand in a log: one line, nothing that steers a terminal.
fn printable(text: &str) -> String {
    let visible = |char: char| if char.is_control() { '\u{fffd}' } else { char };
    let mut line: String = text.chars().take(LONGEST).map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(kind: Kind, count: u64, sentence: &str) -> Denial {
        Denial { kind, count, sentence: sentence.into() }
    }

    #[test]
    fn the_first_of_each_kind_is_logged_and_later_ones_are_counted() {
        let mut denied = Denied::default();
        assert_eq!(
            denied.take(&denial(Kind::Connect, 1, "connect denied")).unwrap().unwrap(),
            "connect denied"
        );
        assert_eq!(denied.take(&denial(Kind::Connect, 10, "connect denied")).unwrap(), None);
        assert_eq!(denied.take(&denial(Kind::Http, 1, "HTTP denied")).unwrap().unwrap(), "HTTP denied");
        assert_eq!(denied.sum(None).unwrap(), "connect at least 10, http at least 1");
        let exact = [(Kind::Connect, 12), (Kind::Http, 1)].into();
        assert_eq!(denied.sum(Some(&exact)).unwrap(), "connect 12, http 1");
        assert_eq!(Denied::default().sum(Some(&Counts::new())), None);
    }

    #[test]
    fn a_host_that_tells_too_much_is_caught() {
        for (first, second) in [(1, 1), (1, 9), (10, 1), (u64::MAX, 1), (1, 0)] {
            let mut denied = Denied::default();
            denied.take(&denial(Kind::Bind, first, "")).unwrap();
            assert!(denied.take(&denial(Kind::Bind, second, "")).is_err(), "{first}, then {second}");
        }
        assert!(Denied::default().take(&denial(Kind::Bind, 0, "")).is_err());
    }

    #[test]
    fn a_host_cannot_forge_a_line_or_steer_a_terminal() {
        let line = printable("a\nWARN denied: b\r\u{1b}[2J\u{9b}c");
        assert_eq!(line, "a�WARN denied: b��[2J�c");
        assert_eq!(printable(&"ä".repeat(9000)).chars().count(), LONGEST + 1);
    }
}
