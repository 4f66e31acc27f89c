//! The processors and memory nodes that a container may use. The kubelet's static CPU manager and its memory manager
//! give them to pods; without those nobody does.

use std::io;
use std::path::Path;

use anyhow::{Result, bail};
use oci_spec::runtime::LinuxCpu;

use super::files::write;

const CPUS: &str = "cpuset.cpus";
const MEMS: &str = "cpuset.mems";

/// More than any kernel has processors.
const MOST: usize = 1 << 13;

/// Lists such as `0-3,7`, as the spec has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpuset {
    pub cpus: Option<String>,
    pub mems: Option<String>,
}

impl Cpuset {
    /// What a spec asks for; empty lists ask for nothing.
    pub fn of(cpu: &LinuxCpu) -> Result<Cpuset> {
        let list = |field: &str, text: &Option<String>| {
            let text = text.as_ref().map(|text| text.trim()).filter(|text| !text.is_empty());
            match text {
                Some(text) if mask(text).is_none() => {
                    bail!(
                        "linux.resources.cpu.{field} of the spec is {text:?}: it is a list of numbers and ranges, such as 0-3,7"
                    )
                }
                text => Ok(text.map(str::to_owned)),
            }
        };
        Ok(Cpuset { cpus: list("cpus", cpu.cpus())?, mems: list("mems", cpu.mems())? })
    }

    pub fn is_empty(&self) -> bool {
        *self == Cpuset::default()
    }

    /// Its settings, by their file and by the property that systemd has for it.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let cpus = self.cpus.as_deref().map(|list| (CPUS, "AllowedCPUs", list));
        let mems = self.mems.as_deref().map(|list| (MEMS, "AllowedMemoryNodes", list));
        cpus.into_iter().chain(mems)
    }

    /// Sets them in a container's own directory.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        self.settings().try_for_each(|(file, _, list)| {
            write(dir, file, list).map_err(|error| {
                io::Error::new(error.kind(), format!("{error}; {list:?} is not what the cgroup above has"))
            })
        })
    }
}

/// cgroup v1: a directory without processors and memory nodes takes no process. Those above it and it itself have
/// what is above them, where nobody has said otherwise.
pub fn inherit(dir: &Path) -> io::Result<()> {
    let mut path: Vec<&Path> = dir.ancestors().take_while(|dir| dir.join(CPUS).exists()).collect();
    path.reverse();
    for (above, dir) in path.iter().zip(path.iter().skip(1)) {
        for file in [CPUS, MEMS] {
            if std::fs::read_to_string(dir.join(file))?.trim().is_empty() {
                write(dir, file, std::fs::read_to_string(above.join(file))?.trim())?;
            }
        }
    }
    Ok(())
}

/// A list as bits, the first in the lowest bit of the first byte; `None` if it is none.
pub fn mask(list: &str) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (number(first)?, number(last)?);
        if first > last || last >= MOST {
            return None;
        }
        bits.resize(bits.len().max(last / 8 + 1), 0);
        for number in first..=last {
            *bits.get_mut(number / 8)? |= 1 << (number % 8);
        }
    }
    Some(bits)
}

fn number(text: &str) -> Option<usize> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(cpus: &str) -> Result<Cpuset> {
        Cpuset::of(&serde_json::from_value(serde_json::json!({ "cpus": cpus, "mems": "" })).unwrap())
    }

    #[test]
    fn lists_become_bits() {
        assert_eq!(mask("0"), Some(vec![1]));
        assert_eq!(mask("0-3,7"), Some(vec![0x8f]));
        assert_eq!(mask("8,1"), Some(vec![2, 1]));
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_field() {
        for wrong in ["a", "-1", "1-", "3-1", "0,,1", "0-99999999", "+1", "0 1"] {
            let error = asked(wrong).unwrap_err().to_string();
            assert!(error.contains("linux.resources.cpu.cpus") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn what_is_empty_asks_for_nothing() {
        assert!(asked("").unwrap().is_empty());
        assert_eq!(asked("0-1\n").unwrap().cpus.as_deref(), Some("0-1"));
    }
}
