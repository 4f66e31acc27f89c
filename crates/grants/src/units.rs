//! Sizes and times as people write them: `"512MiB"`, `"90s"`, `"1m30s"`, or a plain number of bytes or seconds.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

use crate::error::shown;

/// The last is that of a number alone, here as below.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];
/// In milliseconds.
const TIMES: [(&str, u64); 5] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1), ("", 1000)];
const SIZE: Quantity =
    Quantity { units: &SIZES, expecting: "a size such as \"512MiB\", \"2GiB\" or a number of bytes" };
const TIME: Quantity =
    Quantity { units: &TIMES, expecting: "a time such as \"90s\", \"5m\", \"500ms\" or a number of seconds" };

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
        deserializer.deserialize_any(SIZE).map(ByteSize)
    }
}

/// A time in a config file.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(TIME).map(Duration::from_millis)
}

/// The same, where it may be left out.
pub(crate) fn some_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// A time in an annotation.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let milliseconds =
        TIME.read(text).ok_or_else(|| format!("`{}` is not {}", shown(text), TIME.expecting))?;
    Ok(Duration::from_millis(milliseconds))
}

/// A size in an annotation.
pub(crate) fn size(text: &str) -> Result<ByteSize, String> {
    SIZE.read(text).map(ByteSize).ok_or_else(|| format!("`{}` is not {}", shown(text), SIZE.expecting))
}

/// A positive whole number, alone, or as numbers with `units` that are summed: `1m30s`.
struct Quantity {
    units: &'static [(&'static str, u64)],
    expecting: &'static str,
}

impl Quantity {
    fn read(&self, text: &str) -> Option<u64> {
        let mut rest = text.trim();
        let alone = rest.bytes().all(|byte| byte.is_ascii_digit());
        let mut sum = 0u64;
        while !rest.is_empty() {
            let (number, unit) =
                rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
            let (unit, next) = unit.split_at(unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len()));
            let unit = unit.trim();
            let (_, factor) =
                self.units.iter().find(|(name, _)| *name == unit && unit.is_empty() == alone)?;
            sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
            rest = next;
        }
        Some(sum).filter(|sum| *sum > 0)
    }
}

impl Visitor<'_> for Quantity {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        self.read(&number.to_string()).ok_or_else(|| wrong(number, self.expecting))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        self.read(&number.to_string()).ok_or_else(|| wrong(number, self.expecting))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        self.read(text).ok_or_else(|| wrong(format_args!("\"{}\"", text.escape_debug()), self.expecting))
    }
}

fn wrong<E: Error>(given: impl fmt::Display, expecting: &str) -> E {
    E::custom(format_args!("{given} is not {expecting}"))
}
