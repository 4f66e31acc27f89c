//! How many pods, and how often.

use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};

/// As the command line has it: `50x5` is five rounds of fifty pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub pods: usize,
    pub rounds: usize,
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Size> {
        let parts =
            text.split_once('x').and_then(|(pods, rounds)| Some((pods.parse().ok()?, rounds.parse().ok()?)));
        let (pods, rounds) = parts.with_context(|| format!("{text:?} is no PODSxROUNDS, as 50x5 is"))?;
        ensure!(pods > 0 && rounds > 0, "{text:?} measures nothing: both numbers have to be above 0");
        Ok(Size { pods, rounds })
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn a_size_is_pods_and_rounds() {
        assert_eq!("50x5".parse::<Size>().unwrap(), Size { pods: 50, rounds: 5 });
    }

    #[test]
    fn no_pods_and_no_rounds_are_refused() {
        for text in ["0x5", "5x0", "50", "x", "50x-1"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
