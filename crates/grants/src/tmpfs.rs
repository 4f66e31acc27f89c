//! The options of a tmpfs volume (tmpfs(5)).

use serde::{Deserialize, Serialize};

use crate::error::shown;

/// A file system in memory; what is `None` is the kernel's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tmpfs {
    /// In bytes.
    pub size: Option<u64>,
    pub inodes: Option<u64>,
    /// Permissions of its root, such as 0o1777.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Tmpfs {
    pub(crate) fn read<'a>(options: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut tmpfs = Self::default();
        for option in options {
            if !tmpfs.set(option) {
                return Err(format!(
                    "option `{}` of a tmpfs is not supported; there are size=, nr_inodes=, mode=, uid= and gid= \
                     with a number",
                    shown(option)
                ));
            }
        }
        Ok(tmpfs)
    }

    /// Whether `option` was understood.
    fn set(&mut self, option: &str) -> bool {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "size" => assign(&mut self.size, quantity(value)),
            "nr_inodes" => assign(&mut self.inodes, quantity(value)),
            "mode" => {
                assign(&mut self.mode, u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777))
            }
            "uid" => assign(&mut self.uid, value.parse().ok()),
            "gid" => assign(&mut self.gid, value.parse().ok()),
            _ => false,
        }
    }
}

fn assign<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let understood = value.is_some();
    *field = value;
    understood
}

/// A number with tmpfs's own suffixes k, m, g.
fn quantity(text: &str) -> Option<u64> {
    let (number, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (text.get(..text.len() - 1)?, 1 << 10),
        b'm' | b'M' => (text.get(..text.len() - 1)?, 1 << 20),
        b'g' | b'G' => (text.get(..text.len() - 1)?, 1 << 30),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
