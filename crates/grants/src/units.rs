//! Sizes and times as people write them in a config file: `"512MiB"`, `"90s"`, or a plain number of bytes or seconds.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

const SIZES: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
const TIMES: [(&str, u64); 3] = [("h", 3600), ("m", 60), ("s", 1)];

/// A number of bytes. Prints and parses as `2GiB`, `64MiB`, `1500` (bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZES.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let quantity =
            Quantity { units: &SIZES, expecting: "a size such as \"512MiB\", \"2GiB\" or a number of bytes" };
        deserializer.deserialize_any(quantity).map(ByteSize)
    }
}

/// A time in whole seconds.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let quantity =
        Quantity { units: &TIMES, expecting: "a time such as \"90s\", \"5m\" or a number of seconds" };
    deserializer.deserialize_any(quantity).map(Duration::from_secs)
}

/// A positive whole number, alone or in a string before one of `units`.
struct Quantity {
    units: &'static [(&'static str, u64)],
    expecting: &'static str,
}

impl Quantity {
    fn read(&self, text: &str) -> Option<u64> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor = match unit.trim() {
            "" => 1,
            unit => self.units.iter().find(|(name, _)| *name == unit)?.1,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).filter(|n| *n > 0)
    }
}

impl Visitor<'_> for Quantity {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).ok().filter(|n| *n > 0).ok_or_else(|| wrong(number, self.expecting))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        if number > 0 { Ok(number) } else { Err(wrong(number, self.expecting)) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        self.read(text).ok_or_else(|| wrong(format_args!("\"{}\"", text.escape_debug()), self.expecting))
    }
}

fn wrong<E: Error>(given: impl fmt::Display, expecting: &str) -> E {
    E::custom(format_args!("{given} is not {expecting}"))
}
