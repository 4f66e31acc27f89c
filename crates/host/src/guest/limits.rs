//! The limits of a guest's store: memories and tables as its account allows, handles, calls, instances.

use std::sync::Arc;

use grants::{Mode, Profile};
use wasmtime::{ResourceLimiter, Result};

use crate::memory::heap::Charge;
use crate::memory::{Account, Then};

/// What a table's element takes.
const ELEMENT: u64 = size_of::<usize>() as u64;

/// Handles that a guest may hold in the host at once: streams, files, sockets, pollables.
pub(super) const HANDLES: usize = 1 << 16;

/// Core instances of one guest, and so memories and tables. Compositions have tens.
const INSTANCES: usize = 1000;

/// What one call may make the host copy, in bytes: alone in a process, and among many. There it is counted when the call is
/// over, and what all threads copy at once has to fit into what the process may have beyond its containers' limits.
const CALL: u64 = 128 << 20;
const CALL_AMONG_MANY: u64 = 16 << 20;
const SMALLEST_CALL: u64 = 1 << 20;

/// What one call may make the host copy for a guest with this memory limit, which holds no more itself.
pub(super) fn per_call(limit: Option<u64>, mode: Mode) -> usize {
    let most = match mode {
        Mode::Normal => CALL,
        Mode::Shared => CALL_AMONG_MANY,
    };
    let bytes = limit.map_or(most, |limit| limit.clamp(SMALLEST_CALL, most));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Asks the account before memories and tables grow, and ends the guest that wants too much: a refused growth would end
/// in the guest's own abort, which nobody could tell from a bug.
#[derive(Debug)]
pub(super) struct Meter {
    account: Arc<Account>,
    profile: Profile,
    /// The growth that was allowed last: it is taken back when Wasmtime could not do it.
    last: u64,
    /// What the store has, to be given back with it.
    memories: u64,
    tables: u64,
    /// One of several stores of a container: what it is refused ends it alone.
    one_of_many: bool,
}

/// The machine has not what the guest may have. In the strict profile a guest must not learn this from a refused growth.
#[derive(Debug, thiserror::Error)]
#[error(
    "this machine has no memory left that the guest may have: in the strict profile a growth within its limits never \
     fails"
)]
struct Unserved;

/// What Wasmtime says of growth that no machine could do. It asks nobody before, so nothing was counted.
const NEVER: [&str; 2] =
    ["memory growth exceeds memory type's limits", "overflow calculating new table size"];

impl Meter {
    /// On the account that this thread is charged to. Without one, the limit holds for memories and tables alone.
    pub(super) fn new(limit: Option<u64>, profile: Profile) -> Self {
        let account = Charge::of_this_thread().unwrap_or_else(|| Account::new(limit, |_| Then::GoOn));
        if profile == Profile::Strict {
            account.set_aside();
        }
        Self { account, profile, last: 0, memories: 0, tables: 0, one_of_many: false }
    }

    /// For one of a container's several stores.
    pub(super) fn of_one_of_many(profile: Profile) -> Self {
        let mut meter = Self::new(None, profile);
        meter.one_of_many = true;
        meter
    }

    /// Wasmtime did not grow what it was asked to; what was counted is given back by `shrink`.
    fn failed(
        &mut self,
        error: &wasmtime::Error,
        shrink: impl FnOnce(&Account, u64),
        sum: impl FnOnce(&mut Meter) -> &mut u64,
    ) -> Result<()> {
        if NEVER.contains(&error.to_string().as_str()) {
            return Ok(());
        }
        let last = std::mem::take(&mut self.last);
        shrink(&self.account, last);
        let sum = sum(self);
        *sum = sum.saturating_sub(last);
        match self.profile {
            Profile::Standard => Ok(()),
            Profile::Strict => Err(Unserved.into()),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.account.shrink_memory(self.memories);
        self.account.shrink_table(self.tables);
    }
}

/// How far `current` has to grow; `None` beyond what was declared, where growth just fails as the specification says.
fn growth(current: usize, desired: usize, maximum: Option<usize>) -> Option<u64> {
    match maximum {
        Some(maximum) if desired > maximum => None,
        _ => Some(desired.saturating_sub(current) as u64),
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.last = growth(current, desired, maximum).unwrap_or(0);
        match self.one_of_many {
            true => self.account.lend_memory(self.last)?,
            false => self.account.grow_memory(self.last)?,
        }
        self.memories = self.memories.saturating_add(self.last);
        Ok(growth(current, desired, maximum).is_some())
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        self.failed(&error, Account::shrink_memory, |meter| &mut meter.memories)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let elements = growth(current, desired, maximum);
        self.last = elements.unwrap_or(0).saturating_mul(ELEMENT);
        match self.one_of_many {
            true => self.account.lend_table(self.last)?,
            false => self.account.grow_table(self.last)?,
        }
        self.tables = self.tables.saturating_add(self.last);
        Ok(elements.is_some())
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        self.failed(&error, Account::shrink_table, |meter| &mut meter.tables)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        INSTANCES
    }
}

#[cfg(test)]
mod tests;
