//! The allocator of the program: the system's, with what a guest's thread takes charged to the guest.
#![allow(
    unsafe_code,
    reason = "an allocator is unsafe to be one; every call is passed on to the system's as it came"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

use super::Account;

/// To be the `#[global_allocator]` of a program that runs guests. Without it nothing but linear memory and tables is
/// counted.
#[derive(Debug)]
pub struct Charging;

thread_local! {
    /// Whom this thread allocates for. No destructor and no lazy start: the allocator itself reads it.
    static CHARGED: Cell<*const Account> = const { Cell::new(ptr::null()) };
}

/// The smallest chunk of the C library's heap, and what each costs beside its content.
const SMALLEST: usize = 32;
const OVERHEAD: usize = 8;

/// What an allocation takes of the heap, as the C library rounds it.
fn taken(size: usize) -> u64 {
    let chunk = (size.saturating_add(OVERHEAD + 15) & !15).max(SMALLEST);
    u64::try_from(chunk).unwrap_or(u64::MAX)
}

fn charged(act: impl FnOnce(&Account)) {
    let account = CHARGED.get();
    // SAFETY: while it is set, `Charge` keeps the account alive; only this thread sets it and takes it back.
    if let Some(account) = unsafe { account.as_ref() } {
        act(account);
    }
}

// SAFETY: every call is the system allocator's, with the caller's own arguments and under the caller's own promises.
unsafe impl GlobalAlloc for Charging {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charged(|account| account.allocate(taken(layout.size())));
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charged(|account| account.allocate(taken(layout.size())));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (old, new) = (taken(layout.size()), taken(size));
        charged(|account| if new > old { account.allocate(new - old) } else { account.free(old - new) });
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        charged(|account| account.free(taken(layout.size())));
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// As long as this lives, what its thread allocates is charged to an account.
#[derive(Debug)]
pub struct Charge {
    account: *const Account,
    before: *const Account,
}

impl Charge {
    /// Charges this thread's heap to `account`, until it is dropped: in the opposite order of several.
    pub fn to(account: Arc<Account>) -> Charge {
        let account = Arc::into_raw(account);
        Charge { account, before: CHARGED.replace(account) }
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
    let before = CHARGED.replace(ptr::null());
    let result = act();
    CHARGED.set(before);
    result
}

impl Drop for Charge {
    fn drop(&mut self) {
        CHARGED.set(self.before);
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
        assert_eq!(taken(usize::MAX), u64::MAX - 15);
    }

    #[test]
    fn a_thread_is_charged_while_the_charge_lives() {
        let account = Account::new(None, |_| crate::memory::Then::GoOn);
        {
            let _charge = Charge::to(account.clone());
            let layout = Layout::from_size_align(1000, 8).unwrap();
            // SAFETY: freed at once with the layout that it was made with.
            unsafe { Charging.dealloc(Charging.alloc(layout), layout) };
            // SAFETY: as above, and left alone until it is freed.
            let kept = unsafe { Charging.alloc(layout) };
            assert_eq!(account.heap.load(std::sync::atomic::Ordering::Relaxed), 1008);
            assert!(Charge::of_this_thread().is_some_and(|found| Arc::ptr_eq(&found, &account)));
            // SAFETY: as above.
            unsafe { Charging.dealloc(kept, layout) };
        }
        assert!(Charge::of_this_thread().is_none());
        assert_eq!(account.heap.load(std::sync::atomic::Ordering::Relaxed), 0);
        assert_eq!(Arc::strong_count(&account), 1);
    }
}
