//! The memory limit: all linear memories and tables of a guest, summed.

use grants::ByteSize;
use wasmtime::{ResourceLimiter, Result};

/// What the host itself takes of a container's memory, at most: its heap, the guest's stack, page tables. The kernel
/// counts them against the same limit, and would kill before the guest could be told why.
const HOST: u64 = 2 << 20;

/// What a table's element takes.
const ELEMENT: u64 = size_of::<usize>() as u64;

/// Handles that a guest may hold in the host at once: streams, files, sockets, pollables. Each costs the host about
/// a hundred bytes.
pub(super) const HANDLES: usize = 1 << 16;

/// What one call may make the host copy.
const CALL: u64 = 128 << 20;
const SMALLEST_CALL: u64 = 1 << 20;

/// What one call may make the host copy for a guest with this memory limit, which holds no more itself.
pub(super) fn per_call(limit: Option<u64>) -> usize {
    let bytes = limit.map_or(CALL, |limit| limit.clamp(SMALLEST_CALL, CALL));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Counts, and ends the guest that wants more than its limit: a refused growth would end in the guest's own abort,
/// which nobody could tell from a bug.
#[derive(Debug)]
pub(super) struct Meter {
    limit: Option<u64>,
    used: u64,
    /// The growth that was allowed last: it is taken back when Wasmtime could not do it.
    last: u64,
}

/// The guest wanted more memory than it may have.
#[derive(Debug, thiserror::Error)]
#[error(
    "out of memory: the guest asked for {wanted} bytes of linear memory and tables; its limit is {}, of which the host \
     itself may need {}",
    ByteSize(*limit),
    ByteSize(host(*limit))
)]
pub(super) struct Exhausted {
    wanted: u64,
    limit: u64,
}

/// What is kept for the host of a container's limit: of a small one not more than a quarter.
fn host(limit: u64) -> u64 {
    HOST.min(limit / 4)
}

impl Meter {
    /// `limit` is the container's, in bytes; without one, it counts only.
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { limit, used: 0, last: 0 }
    }

    fn grow(&mut self, bytes: u64) -> Result<bool> {
        let wanted = self.used.saturating_add(bytes);
        match self.limit {
            Some(limit) if wanted > limit - host(limit) => Err(Exhausted { wanted, limit }.into()),
            _ => {
                (self.used, self.last) = (wanted, bytes);
                Ok(true)
            }
        }
    }

    fn undo(&mut self) {
        self.used = self.used.saturating_sub(std::mem::take(&mut self.last));
    }
}

impl ResourceLimiter for Meter {
    /// Beyond what the memory itself declares growth just fails, as the specification says.
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.last = 0;
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow(desired.saturating_sub(current) as u64)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.last = 0;
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow((desired.saturating_sub(current) as u64).saturating_mul(ELEMENT))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.undo();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 1 << 16;

    #[test]
    fn memories_and_tables_are_summed() {
        let mut meter = Meter::new(Some(4 * PAGE as u64));
        assert!(meter.memory_growing(0, PAGE, None).unwrap());
        assert!(meter.memory_growing(0, PAGE, None).unwrap());
        assert!(meter.table_growing(0, PAGE / 8, None).unwrap());
        assert!(meter.memory_growing(PAGE, 2 * PAGE, None).is_err());
    }

    #[test]
    fn growth_that_wasmtime_could_not_do_is_not_counted() {
        let mut meter = Meter::new(Some(2 * PAGE as u64));
        assert!(meter.memory_growing(0, PAGE, None).unwrap());
        meter.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(meter.memory_growing(0, PAGE, None).unwrap());
    }

    #[test]
    fn growth_beyond_the_memorys_own_maximum_fails_without_ending_the_guest() {
        let mut meter = Meter::new(Some(PAGE as u64));
        assert!(!meter.memory_growing(0, 2 * PAGE, Some(PAGE)).unwrap());
    }

    #[test]
    fn the_host_has_its_share_of_the_limit() {
        assert_eq!(host(64 << 20), 2 << 20);
        assert_eq!(host(4 << 20), 1 << 20);
        let mut meter = Meter::new(Some(64 << 20));
        assert!(meter.memory_growing(0, 62 << 20, None).unwrap());
        let error = meter.memory_growing(62 << 20, (62 << 20) + PAGE, None).unwrap_err().to_string();
        assert!(error.ends_with("its limit is 64MiB, of which the host itself may need 2MiB"), "{error}");
    }

    #[test]
    fn what_a_call_may_copy_follows_the_limit() {
        assert_eq!(per_call(None), 128 << 20);
        assert_eq!(per_call(Some(16 << 20)), 16 << 20);
        assert_eq!(per_call(Some(64 << 10)), 1 << 20);
    }
}
