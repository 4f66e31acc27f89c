//! Ceilings: what the pod says, and never more than the node's own.

use std::time::Duration;

use oci_spec::runtime::{LinuxResources, PosixRlimitType, Process};
use serde::{Deserialize, Serialize};

use crate::policy;
use crate::profile::Profile;

/// CPU time, in the terms of the Linux CPU controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cpu {
    /// Microseconds per period; `None`: as much as there is.
    pub quota: Option<u64>,
    /// Microseconds.
    pub period: u64,
    /// Weight against other containers; 1024 is one CPU's worth of `requests.cpu`.
    pub shares: u64,
}

const DEFAULT_PERIOD: u64 = 100_000;
const DEFAULT_SHARES: u64 = 1024;

impl Default for Cpu {
    fn default() -> Self {
        Self { quota: None, period: DEFAULT_PERIOD, shares: DEFAULT_SHARES }
    }
}

/// What a container may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    pub cpu: Cpu,
    pub open_files: u64,
    pub timeout: Option<Duration>,
    /// Units, about one for each Wasm instruction.
    pub fuel: Option<u64>,
}

impl Limits {
    pub(crate) fn read(
        process: &Process,
        resources: Option<&LinuxResources>,
        timeout: Option<Duration>,
        profile: Profile,
        bound: &policy::Limits,
    ) -> Self {
        Self {
            memory: memory(resources).into_iter().chain(bound.memory.map(|size| size.0)).min(),
            cpu: cpu(resources),
            open_files: open_files(process).map_or(bound.open_files, |own| own.min(bound.open_files)),
            timeout: timeout.into_iter().chain(bound.timeout).min(),
            fuel: (profile == Profile::Strict).then_some(bound.fuel),
        }
    }
}

impl Limits {
    /// These under other resources; what is left out there stays.
    pub(crate) fn resized(&self, resources: &LinuxResources, most: Option<u64>) -> Self {
        let says = |limit: Option<i64>| limit.is_some_and(|limit| limit != 0);
        let memory = match resources.memory().as_ref().is_some_and(|it| says(it.limit())) {
            true => memory(Some(resources)).into_iter().chain(most).min(),
            false => self.memory,
        };
        let cpu = match resources.cpu() {
            None => self.cpu,
            Some(new) => Cpu {
                quota: match new.quota().filter(|quota| *quota != 0) {
                    Some(quota) => u64::try_from(quota).ok(),
                    None => self.cpu.quota,
                },
                period: new.period().filter(|period| *period > 0).unwrap_or(self.cpu.period),
                shares: new.shares().filter(|shares| *shares > 0).unwrap_or(self.cpu.shares),
            },
        };
        Self { memory, cpu, ..*self }
    }
}

/// `resources.limits.memory`; zero and negative numbers mean unlimited, as in cgroups.
fn memory(resources: Option<&LinuxResources>) -> Option<u64> {
    let limit = resources?.memory().as_ref()?.limit()?;
    u64::try_from(limit).ok().filter(|limit| *limit > 0)
}

fn cpu(resources: Option<&LinuxResources>) -> Cpu {
    let Some(cpu) = resources.and_then(|resources| resources.cpu().as_ref()) else { return Cpu::default() };
    Cpu {
        quota: cpu.quota().and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota > 0),
        period: cpu.period().filter(|period| *period > 0).unwrap_or(DEFAULT_PERIOD),
        shares: cpu.shares().filter(|shares| *shares > 0).unwrap_or(DEFAULT_SHARES),
    }
}

/// The soft limit: the one that holds, as a guest cannot raise it.
fn open_files(process: &Process) -> Option<u64> {
    let all = process.rlimits().iter().flatten();
    all.filter(|limit| limit.typ() == PosixRlimitType::RlimitNofile).map(|limit| limit.soft()).next_back()
}
