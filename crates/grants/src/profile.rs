//! How much of the world a guest sees: the profile, and the clock and the randomness that go with it.
//!
//! In the strict profile the same input gives the same output, on every run and every machine. So it has no network,
//! a fixed amount of fuel, and neither clock nor randomness unless these, too, are the same each time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::shown;

/// What a guest may depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    #[default]
    Standard,
    /// Its input alone: arguments, environment, files, stdin.
    Strict,
}

/// What the guest's clocks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// The time.
    Real,
    /// Always the same moment.
    Frozen,
    /// Nothing: a look at one ends the guest.
    Deny,
}

/// Where the guest's random bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Random {
    /// The kernel's generator.
    Real,
    /// A generator that starts from this number: the same bytes on every run and every machine.
    Seed(u64),
    /// Nowhere: asking for one ends the guest.
    Deny,
}

impl Profile {
    /// What a pod has that says nothing of its clock.
    pub(crate) fn clock(self) -> Clock {
        match self {
            Self::Standard => Clock::Real,
            Self::Strict => Clock::Deny,
        }
    }

    /// What a pod has that says nothing of its randomness.
    pub(crate) fn random(self) -> Random {
        match self {
            Self::Standard => Random::Real,
            Self::Strict => Random::Deny,
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "standard" => Ok(Self::Standard),
            "strict" => Ok(Self::Strict),
            other => Err(format!("`{}` is no profile; there are standard and strict", shown(other))),
        }
    }
}

impl FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "real" => Ok(Self::Real),
            "frozen" => Ok(Self::Frozen),
            "deny" => Ok(Self::Deny),
            other => Err(format!("`{}` is no clock; there are real, frozen and deny", shown(other))),
        }
    }
}

impl FromStr for Random {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "real" => Ok(Self::Real),
            "deny" => Ok(Self::Deny),
            other => {
                let seed = other.strip_prefix("seed:").ok_or_else(|| {
                    format!("`{}` is no source; there are real, seed:<number> and deny", shown(other))
                })?;
                let digits = !seed.is_empty() && seed.bytes().all(|byte| byte.is_ascii_digit());
                seed.parse().ok().filter(|_| digits).map(Self::Seed).ok_or_else(|| {
                    format!("`{}` is no seed; seeds are whole numbers from 0 to {}", shown(seed), u64::MAX)
                })
            }
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "standard",
            Self::Strict => "strict",
        })
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Real => "real",
            Self::Frozen => "frozen",
            Self::Deny => "deny",
        })
    }
}

impl fmt::Display for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Real => f.write_str("real"),
            Self::Seed(seed) => write!(f, "seed:{seed}"),
            Self::Deny => f.write_str("deny"),
        }
    }
}
