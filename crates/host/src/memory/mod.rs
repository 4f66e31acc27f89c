//! What a container's memory limit is spent on: linear memories, tables, and what the host keeps on the guest's behalf.
//!
//! The kernel counts a host process as a whole and kills without a word. The account counts the same from within, a little
//! earlier, so that people are told what the memory went into. Linear memories and tables are announced by Wasmtime
//! before they grow; everything else that a guest can make its host keep (copies of strings, handles, headers, bodies,
//! datagrams, instances) lives on the heap, where the allocator counts it ([`heap`]).

pub mod heap;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// What a host takes beside the heap of the guest's thread, in bytes: its own data (0.3 MiB), the kernel's part (0.2 MiB),
/// and the guest's stack, which may take [`crate::engine::WASM_STACK`]. Measured: docs/decisions/0004-memory.md.
const HOST: u64 = (1 << 20) + (512 << 10);

/// Page tables: 8 bytes for each page of 4 KiB.
const PAGE_TABLES: u64 = 512;

/// Of a small limit the host is not given more than this part.
const SMALL: u64 = 4;

/// What a guest whose end must not depend on the machine is charged for its host's heap, however much less that is:
/// there are bytes in it that a slow reader or a timer makes the host keep. The heap of most guests is a quarter of it.
const SET_ASIDE: u64 = 1 << 20;
const SET_ASIDE_OF_SMALL: u64 = 8;

/// No limit: everything is counted and nothing refused.
const UNLIMITED: u64 = u64::MAX;

/// The memory of one container, or of one more process in it. Clones of the [`Arc`] are the same account.
pub struct Account {
    /// Bytes, or [`UNLIMITED`].
    limit: AtomicU64,
    /// That of the container, whose limit is then the one that counts.
    container: Option<Arc<Account>>,
    /// What the container's other processes use. What is freed for another makes it a little less than nothing at times.
    beside: AtomicI64,
    /// It uses nothing of its container's any more.
    left: AtomicBool,
    memories: AtomicU64,
    /// The most that was used, as it was when memory grew.
    peak: AtomicU64,
    tables: AtomicU64,
    /// Of the threads that are charged to this account. What one of them frees for another makes it a little less than
    /// nothing at times.
    heap: AtomicI64,
    /// The least that the heap without the tables counts as.
    set_aside: AtomicU64,
    /// The guest has ended: what the host does for its report is not refused.
    closed: AtomicBool,
    /// The guest has wanted too much: its end is sure.
    exhausted: AtomicBool,
    on_exhausted: Box<dyn Fn(&Exhausted) -> Then + Send + Sync>,
}

/// What becomes of a thread whose guest would make the host keep too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It goes no further.
    Stop,
    /// It serves others as well, and goes on until it can leave the guest.
    GoOn,
}

/// The guest wanted more memory than it may have: the figures at that moment, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct Exhausted {
    limit: u64,
    wanted: u64,
    memories: u64,
    tables: u64,
    heap: u64,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "out of memory: memory limit of {} reached: {} of linear memory, {} of tables, {} in the host for handles and \
             buffers, {} kept for the host itself; the guest asked for {} more",
            Mib(self.limit),
            Mib(self.memories),
            Mib(self.tables),
            Mib(self.heap),
            Mib(kept(self.limit)),
            Mib(self.wanted),
        )
    }
}

/// Mebibytes, with a decimal where there is one to show.
struct Mib(u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        match self.0.is_multiple_of(MIB) {
            true => write!(f, "{} MiB", self.0 / MIB),
            false => write!(f, "{:.1} MiB", self.0 as f64 / MIB as f64),
        }
    }
}

/// What is kept for the host of a container's limit.
fn kept(limit: u64) -> u64 {
    (HOST + limit / PAGE_TABLES).min(limit / SMALL)
}

impl Account {
    /// `limit` is the container's, in bytes. `on_exhausted` is called once when the host itself would have to keep too much
    /// for the guest, on the guest's thread: whoever hears it ends the guest.
    pub fn new(
        limit: Option<u64>,
        on_exhausted: impl Fn(&Exhausted) -> Then + Send + Sync + 'static,
    ) -> Arc<Account> {
        Arc::new(Account::fresh(limit.unwrap_or(UNLIMITED), None, on_exhausted))
    }

    /// The account of one more process of a container: both together have the container's limit, and whoever would exceed
    /// it ends.
    pub fn beside(
        container: Arc<Account>,
        on_exhausted: impl Fn(&Exhausted) -> Then + Send + Sync + 'static,
    ) -> Arc<Account> {
        Arc::new(Account::fresh(UNLIMITED, Some(container), on_exhausted))
    }

    fn fresh(
        limit: u64,
        container: Option<Arc<Account>>,
        on_exhausted: impl Fn(&Exhausted) -> Then + Send + Sync + 'static,
    ) -> Account {
        Account {
            limit: AtomicU64::new(limit),
            container,
            beside: AtomicI64::new(0),
            left: AtomicBool::new(false),
            memories: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            tables: AtomicU64::new(0),
            heap: AtomicI64::new(0),
            set_aside: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
            on_exhausted: Box::new(on_exhausted),
        }
    }

    /// Another limit from here on. Who uses more already is refused what it asks for next.
    pub fn resize(&self, limit: Option<u64>) {
        self.limit.store(limit.unwrap_or(UNLIMITED), Relaxed);
    }

    /// Asks for linear memory.
    pub(crate) fn grow_memory(&self, bytes: u64) -> Result<(), Exhausted> {
        self.ask(bytes)?;
        self.count_memory(bytes);
        Ok(())
    }

    /// The same for one of several instances: who is refused ends, and its container goes on.
    pub(crate) fn lend_memory(&self, bytes: u64) -> Result<(), Exhausted> {
        self.check(bytes)?;
        self.count_memory(bytes);
        Ok(())
    }

    fn count_memory(&self, bytes: u64) {
        self.memories.fetch_add(bytes, Relaxed);
        self.tell(bytes.cast_signed());
        self.peak.fetch_max(self.used(), Relaxed);
    }

    /// Gives linear memory back.
    pub(crate) fn shrink_memory(&self, bytes: u64) {
        self.memories.fetch_sub(bytes, Relaxed);
        self.tell(-bytes.cast_signed());
    }

    /// Tells the container's account what a process of it has more, or less, than before.
    fn tell(&self, bytes: i64) {
        if let Some(container) = &self.container
            && !self.left.load(Relaxed)
        {
            container.beside.fetch_add(bytes, Relaxed);
        }
    }

    /// The process has ended: what it had is its container's again.
    pub(crate) fn leave(&self) {
        if let Some(container) = &self.container
            && !self.left.swap(true, Relaxed)
        {
            let had = self.memories.load(Relaxed).cast_signed().saturating_add(self.heap.load(Relaxed));
            container.beside.fetch_sub(had, Relaxed);
        }
    }

    /// Asks for a table's elements, which the engine keeps on the heap: they are noted here and counted there.
    pub(crate) fn grow_table(&self, bytes: u64) -> Result<(), Exhausted> {
        self.ask(bytes)?;
        self.tables.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// The same for one of several instances.
    pub(crate) fn lend_table(&self, bytes: u64) -> Result<(), Exhausted> {
        self.check(bytes)?;
        self.tables.fetch_add(bytes, Relaxed);
        Ok(())
    }

    pub(crate) fn shrink_table(&self, bytes: u64) {
        self.tables.fetch_sub(bytes, Relaxed);
    }

    /// From here on a fixed part of the limit is the heap's, used or not: as long as that is enough, where the guest's
    /// memory ends depends on nothing but the guest.
    pub(crate) fn set_aside(&self) {
        let most = self.limit().map_or(0, |limit| limit / SET_ASIDE_OF_SMALL);
        self.set_aside.store(SET_ASIDE.min(most), Relaxed);
    }

    /// The guest has ended: from here on nothing is refused.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// What is used at this moment, in bytes, by this process and those beside it.
    pub(crate) fn used(&self) -> u64 {
        let beside = u64::try_from(self.beside.load(Relaxed)).unwrap_or(0);
        self.memories.load(Relaxed).saturating_add(self.heap()).saturating_add(beside)
    }

    /// The container's limit.
    fn limit(&self) -> Option<u64> {
        let limit = self.container.as_ref().map_or(&self.limit, |container| &container.limit).load(Relaxed);
        (limit != UNLIMITED).then_some(limit)
    }

    /// About the most that was used.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Relaxed).max(self.used())
    }

    /// With the tables, and with what is set aside.
    fn heap(&self) -> u64 {
        let heap = u64::try_from(self.heap.load(Relaxed)).unwrap_or(0);
        // Without a counting allocator, as in a test, tables are found in their own figure alone.
        heap.max(self.tables.load(Relaxed).saturating_add(self.set_aside.load(Relaxed)))
    }

    /// By who can be refused, and then ends.
    fn ask(&self, wanted: u64) -> Result<(), Exhausted> {
        self.check(wanted).inspect_err(|_| self.exhausted.store(true, Relaxed))
    }

    fn check(&self, wanted: u64) -> Result<(), Exhausted> {
        let Some(limit) = self.limit() else { return Ok(()) };
        let used = self.container.as_ref().map_or_else(|| self.used(), |container| container.used());
        if used.saturating_add(wanted) <= limit - kept(limit) || self.closed.load(Relaxed) {
            return Ok(());
        }
        let (memories, tables) = (self.memories.load(Relaxed), self.tables.load(Relaxed));
        Err(Exhausted { limit, wanted, memories, tables, heap: self.heap().saturating_sub(tables) })
    }

    /// Charges what a charged thread allocates.
    fn allocate(&self, bytes: u64) {
        if let Err(exhausted) = self.check(bytes)
            // The first who goes too far is told; by then the guest's end is sure, and its report needs memory, too.
            && !self.exhausted.swap(true, Relaxed)
            && (self.on_exhausted)(&exhausted) == Then::Stop
        {
            loop {
                std::thread::park();
            }
        }
        self.heap.fetch_add(bytes.cast_signed(), Relaxed);
        self.tell(bytes.cast_signed());
    }

    fn free(&self, bytes: u64) {
        self.heap.fetch_sub(bytes.cast_signed(), Relaxed);
        self.tell(-bytes.cast_signed());
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("limit", &self.limit())
            .field("memories", &self.memories)
            .field("tables", &self.tables)
            .field("heap", &self.heap)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn account(limit: u64) -> Arc<Account> {
        Account::new(Some(limit), |_| Then::GoOn)
    }

    #[test]
    fn memories_tables_and_heap_are_summed() {
        let account = account(64 * MIB);
        account.grow_memory(40 * MIB).unwrap();
        account.grow_table(MIB).unwrap();
        // The table's elements, and as much again for the guest.
        account.allocate(2 * MIB);
        account.grow_memory(20 * MIB).unwrap();
        let told = account.grow_memory(MIB).unwrap_err().to_string();
        assert_eq!(
            told,
            "out of memory: memory limit of 64 MiB reached: 60 MiB of linear memory, 1 MiB of tables, 1 MiB in the \
             host for handles and buffers, 1.6 MiB kept for the host itself; the guest asked for 1 MiB more"
        );
    }

    #[test]
    fn what_is_given_back_can_be_had_again() {
        let account = account(4 * MIB);
        account.grow_memory(3 * MIB).unwrap();
        account.shrink_memory(MIB);
        account.allocate(MIB);
        account.free(MIB);
        account.grow_table(MIB).unwrap();
        account.shrink_table(MIB);
        assert!(account.grow_memory(MIB + 1).is_err());
    }

    #[test]
    fn the_host_has_its_share_of_the_limit() {
        assert_eq!(kept(4 * MIB), MIB);
        assert_eq!(kept(64 * MIB), HOST + 128 * 1024);
        assert_eq!(kept(1 << 30), HOST + 2 * MIB);
    }

    #[test]
    fn what_is_set_aside_makes_the_end_the_same_whatever_the_heap_holds() {
        let ends = [0, 1, 100 * 1024].map(|heap| {
            let account = account(64 * MIB);
            account.set_aside();
            account.allocate(heap);
            account.grow_table(MIB).unwrap();
            account.allocate(MIB);
            account.grow_memory(60 * MIB).unwrap();
            account.grow_memory(MIB).unwrap_err().to_string()
        });
        assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
        assert!(ends[0].contains("1 MiB in the host for handles"), "{ends:?}");
    }

    #[test]
    fn without_a_limit_nothing_is_refused() {
        let account = Account::new(None, |_| Then::GoOn);
        account.grow_memory(u64::MAX / 2).unwrap();
        account.allocate(MIB);
    }

    #[test]
    fn whose_end_is_sure_gets_no_more_memory() {
        let account = account(4 * MIB);
        account.allocate(4 * MIB);
        assert!(account.grow_memory(1).is_err());
        account.allocate(4 * MIB);
        assert_eq!(account.used(), 8 * MIB);
    }

    #[test]
    fn after_the_end_nothing_is_refused() {
        let account = account(MIB);
        account.close();
        account.allocate(2 * MIB);
        account.grow_memory(2 * MIB).unwrap();
    }

    #[test]
    fn a_process_beside_another_has_what_that_leaves_of_the_limit() {
        let container = account(64 * MIB);
        container.grow_memory(40 * MIB).unwrap();
        let beside = Account::beside(container.clone(), |_| Then::GoOn);
        beside.grow_memory(20 * MIB).unwrap();
        assert!(beside.grow_memory(4 * MIB).is_err() && container.grow_memory(4 * MIB).is_err());
        assert_eq!(container.used(), 60 * MIB);
        beside.leave();
        beside.free(MIB);
        drop(beside);
        assert_eq!(container.used(), 40 * MIB);
        container.grow_memory(20 * MIB).unwrap();
    }

    #[test]
    fn the_end_of_one_process_lifts_no_limit_of_another() {
        let container = account(8 * MIB);
        let beside = Account::beside(container.clone(), |_| Then::GoOn);
        beside.close();
        beside.grow_memory(16 * MIB).unwrap();
        assert!(container.grow_memory(1).is_err());
    }

    #[test]
    fn a_limit_can_be_raised_and_lowered() {
        let account = account(8 * MIB);
        assert!(account.grow_memory(16 * MIB).is_err());
        account.resize(Some(64 * MIB));
        account.grow_memory(16 * MIB).unwrap();
        account.resize(Some(16 * MIB));
        assert!(account.grow_memory(1).is_err());
        account.resize(None);
        account.grow_memory(1 << 30).unwrap();
    }
}
