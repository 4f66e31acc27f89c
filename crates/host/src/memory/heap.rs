//! The allocator of the program, with what a guest's thread takes charged to the guest: the C library's, and mimalloc in
//! processes whose threads all allocate and free what others have allocated, where the former's threads wait for one another.
#![allow(
    unsafe_code,
    reason = "an allocator is unsafe to be one; every call is passed on as it came, to the one whose memory it is about"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mimalloc::MiMalloc;

use super::Account;

/// To be the `#[global_allocator]` of a program that runs guests. Without it nothing but linear memory and tables is
/// counted.
#[derive(Debug)]
pub struct Charging;

thread_local! {
    /// Whom this thread allocates for. No destructor and no lazy start: the allocator itself reads it.
    static CHARGED: Cell<*const Account> = const { Cell::new(ptr::null()) };
    /// What it has taken for that account, less what it gave back, and has not told yet, in bytes.
    static UNTOLD: Cell<i64> = const { Cell::new(0) };
}

/// So much may be untold. An account is shared by several threads, and one that told each of them of each byte would have them
/// wait for one another more often than for the guest.
const MOST_UNTOLD: i64 = 16 * 1024;

/// The smallest chunk of the C library's heap, and what each costs beside its content.
const SMALLEST: usize = 32;
const OVERHEAD: usize = 8;

/// What an allocation takes of the heap, as the C library rounds it.
fn taken(size: usize) -> i64 {
    let chunk = (size.saturating_add(OVERHEAD + 15) & !15).max(SMALLEST);
    i64::try_from(chunk).unwrap_or(i64::MAX)
}

/// Charges bytes; those that are given back are negative.
fn charge(bytes: i64) {
    if CHARGED.get().is_null() {
        return;
    }
    let untold = UNTOLD.get().saturating_add(bytes);
    UNTOLD.set(untold);
    if untold.abs() >= MOST_UNTOLD {
        tell();
    }
}

/// Tells this thread's account what it does not know yet.
fn tell() {
    let untold = UNTOLD.replace(0);
    // SAFETY: while it is set, `Charge` keeps the account alive; only this thread sets it and takes it back.
    match unsafe { CHARGED.get().as_ref() } {
        Some(account) if untold > 0 => account.allocate(untold.unsigned_abs()),
        Some(account) if untold < 0 => account.free(untold.unsigned_abs()),
        _ => {}
    }
}

/// Charges this thread to another account from here on; returns the one before.
fn change(account: *const Account) -> *const Account {
    tell();
    CHARGED.replace(account)
}

/// Whether new memory comes from mimalloc.
static MANY_THREADS: AtomicBool = AtomicBool::new(false);

/// From here on memory is for many threads that allocate, at the price of about a megabyte: not for who waits most of its life.
pub(crate) fn for_many_threads() {
    MANY_THREADS.store(true, Ordering::Relaxed);
}

/// Whether memory came from mimalloc. What a thread has, it was given after whoever gave it had seen the switch.
fn is_of_many_threads(memory: *const u8) -> bool {
    // SAFETY: looks the address up, whatever it is.
    MANY_THREADS.load(Ordering::Relaxed) && unsafe { libmimalloc_sys::mi_is_in_heap_region(memory.cast()) }
}

// SAFETY: every call goes to one of two allocators, with the caller's own arguments and under the caller's own promises; what is
// given back or changed in size, to the one that it came from.
unsafe impl GlobalAlloc for Charging {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(taken(layout.size()));
        // SAFETY: as above.
        unsafe {
            match MANY_THREADS.load(Ordering::Relaxed) {
                true => MiMalloc.alloc(layout),
                false => System.alloc(layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(taken(layout.size()));
        // SAFETY: as above.
        unsafe {
            match MANY_THREADS.load(Ordering::Relaxed) {
                true => MiMalloc.alloc_zeroed(layout),
                false => System.alloc_zeroed(layout),
            }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        charge(taken(size).saturating_sub(taken(layout.size())));
        // SAFETY: as above.
        unsafe {
            match is_of_many_threads(memory) {
                true => MiMalloc.realloc(memory, layout, size),
                false => System.realloc(memory, layout, size),
            }
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        charge(-taken(layout.size()));
        // SAFETY: as above.
        unsafe {
            match is_of_many_threads(memory) {
                true => MiMalloc.dealloc(memory, layout),
                false => System.dealloc(memory, layout),
            }
        }
    }
}

/// As long as this lives and is not suspended, what its thread allocates is charged to an account.
#[derive(Debug)]
pub struct Charge {
    account: *const Account,
    before: *const Account,
    /// While it is suspended: what the account was not told by then, in bytes.
    suspended: Option<i64>,
}

impl Charge {
    /// Charges this thread's heap to `account`, until it is dropped: in the opposite order of several.
    pub fn to(account: Arc<Account>) -> Charge {
        let account = Arc::into_raw(account);
        Charge { account, before: change(account), suspended: None }
    }

    /// Charges whom was charged before, for a while: the account need not hear of each pause.
    pub(crate) fn suspend(&mut self) {
        if self.suspended.is_none() {
            self.suspended = Some(UNTOLD.replace(0));
            CHARGED.set(self.before);
        }
    }

    /// Charges the account again, on the same thread and under the same one before.
    pub(crate) fn resume(&mut self) {
        if let Some(untold) = self.suspended.take() {
            change(self.account);
            UNTOLD.set(untold);
        }
    }

    /// The account that this thread is charged to.
    pub fn of_this_thread() -> Option<Arc<Account>> {
        let account = CHARGED.get();
        if account.is_null() {
            return None;
        }
        // SAFETY: it came from `Arc::into_raw` in `Charge::to` and lives as long as the charge; the count goes up by the
        // one that is handed out.
        unsafe {
            Arc::increment_strong_count(account);
            Some(Arc::from_raw(account))
        }
    }
}

/// Charges nobody for what `act` allocates and frees on this thread.
pub(crate) fn uncharged<T>(act: impl FnOnce() -> T) -> T {
    let before = change(ptr::null());
    let result = act();
    change(before);
    result
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.resume();
        change(self.before);
        // SAFETY: the pointer is `Arc::into_raw`'s of `Charge::to`, and given back once.
        drop(unsafe { Arc::from_raw(self.account) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_counted_as_the_c_library_makes_it() {
        assert_eq!([0, 24, 25, 40, 41, 1000].map(taken), [32, 32, 48, 48, 64, 1008]);
        assert_eq!(taken(usize::MAX), i64::MAX);
    }

    /// What an account was told of.
    fn told(account: &Account) -> i64 {
        account.heap.load(std::sync::atomic::Ordering::Relaxed)
    }

    #[test]
    fn a_thread_is_charged_while_the_charge_lives() {
        let account = Account::new(None, |_| crate::memory::Then::GoOn);
        let layout = Layout::from_size_align(1000, 8).unwrap();
        let kept = {
            let _charge = Charge::to(account.clone());
            // SAFETY: freed at once with the layout that it was made with.
            unsafe { Charging.dealloc(Charging.alloc(layout), layout) };
            assert!(Charge::of_this_thread().is_some_and(|found| Arc::ptr_eq(&found, &account)));
            // SAFETY: as above, and left alone until it is freed.
            unsafe { Charging.alloc(layout) }
        };
        assert!(Charge::of_this_thread().is_none());
        assert_eq!(told(&account), 1008);
        {
            let _charge = Charge::to(account.clone());
            // SAFETY: as above.
            unsafe { Charging.dealloc(kept, layout) };
        }
        assert_eq!(told(&account), 0);
        assert_eq!(Arc::strong_count(&account), 1);
    }

    #[test]
    fn much_is_told_at_once_and_what_comes_in_another_charge_is_another_accounts() {
        let [one, other] = [(); 2].map(|()| Account::new(None, |_| crate::memory::Then::GoOn));
        let _charge = Charge::to(one.clone());
        charge(MOST_UNTOLD - 1);
        assert_eq!(told(&one), 0);
        charge(1);
        assert_eq!(told(&one), MOST_UNTOLD);
        charge(5);
        {
            let _inner = Charge::to(other.clone());
            charge(7);
            uncharged(|| charge(1000));
            assert_eq!((told(&one), told(&other)), (MOST_UNTOLD + 5, 7));
        }
        charge(-6);
        uncharged(|| {});
        assert_eq!((told(&one), told(&other)), (MOST_UNTOLD - 1, 7));
        charge(1 - MOST_UNTOLD);
    }

    #[test]
    fn a_suspended_charge_keeps_what_the_account_does_not_know() {
        let account = Account::new(None, |_| crate::memory::Then::GoOn);
        let mut suspended = Charge::to(account.clone());
        charge(5);
        suspended.suspend();
        charge(100);
        uncharged(|| charge(100));
        assert_eq!(told(&account), 0);
        suspended.resume();
        charge(2);
        suspended.suspend();
        drop(suspended);
        assert_eq!((told(&account), Arc::strong_count(&account)), (7, 1));
    }
}
