//! What a guest was denied, as its host tells it: for the log, where an admin looks for the grant that is missing.
//!
//! A host may lie. It cannot make the shim write without end: of each kind the first report is logged, and one that does not
//! count a power of ten, or one that was told before, is against the protocol. Threads that deny at once may overtake each other.

use std::collections::{BTreeMap, HashMap};

use host::protocol::{Counts, Denial, Kind};

/// The most of a sentence that is logged, in characters.
const LONGEST: usize = 400;

/// Of one container, what its host has told so far.
#[derive(Debug, Default)]
pub struct Denied(BTreeMap<Kind, Told>);

/// Of one kind.
#[derive(Debug, Default)]
struct Told {
    /// The largest count.
    most: u64,
    /// A bit for each power of ten.
    powers: u32,
}

impl Denied {
    /// Takes a report. Returns the line to log, if this is the first of its kind.
    ///
    /// # Errors
    /// A host that tells more than the protocol allows.
    pub fn take(&mut self, denial: &Denial) -> anyhow::Result<Option<String>> {
        let told = self.0.entry(denial.kind).or_default();
        let power =
            denial.count.checked_ilog10().filter(|power| 10u64.checked_pow(*power) == Some(denial.count));
        let bit = power.map_or(0, |power| 1 << power);
        anyhow::ensure!(bit & !told.powers != 0, "it tells of denied calls more often than it may");
        let is_first = told.powers == 0;
        told.powers |= bit;
        told.most = told.most.max(denial.count);
        Ok(is_first.then(|| printable(&denial.sentence)))
    }

    /// What its host has told so far, by the names of kinds.
    pub fn counts(&self) -> HashMap<String, u64> {
        self.0.iter().map(|(kind, told)| (kind.to_string(), told.most)).collect()
    }

    /// All of it in one line at the container's end, such as `connect 12, http 1`; `None` when nothing was denied.
    /// `exact` are the host's last counts: without them, what it told before is the least that there was.
    pub fn sum(&self, exact: Option<&Counts>) -> Option<String> {
        let parts: Vec<String> = match exact {
            Some(counts) => counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect(),
            None => self.0.iter().map(|(kind, told)| format!("{kind} at least {}", told.most)).collect(),
        };
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
        for (first, second) in [(1, 1), (10, 10), (1, 9), (1, u64::MAX), (1, 0)] {
            let mut denied = Denied::default();
            denied.take(&denial(Kind::Bind, first, "")).unwrap();
            assert!(denied.take(&denial(Kind::Bind, second, "")).is_err(), "{first}, then {second}");
        }
        assert!(Denied::default().take(&denial(Kind::Bind, 0, "")).is_err());
    }

    #[test]
    fn a_report_that_overtakes_another_is_no_offence() {
        let mut denied = Denied::default();
        assert!(denied.take(&denial(Kind::Bind, 10, "bind denied")).unwrap().is_some());
        assert_eq!(denied.take(&denial(Kind::Bind, 1, "bind denied")).unwrap(), None);
        assert_eq!(denied.sum(None).unwrap(), "bind at least 10");
        assert!(denied.take(&denial(Kind::Bind, 1, "")).is_err());
    }

    #[test]
    fn a_host_cannot_forge_a_line_or_steer_a_terminal() {
        let line = printable("a\nWARN denied: b\r\u{1b}[2J\u{9b}c");
        assert_eq!(line, "a�WARN denied: b��[2J�c");
        assert_eq!(printable(&"ä".repeat(9000)).chars().count(), LONGEST + 1);
    }
}
