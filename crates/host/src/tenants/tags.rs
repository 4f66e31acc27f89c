//! Who asks for a socket: a page that a host writes and its manager reads.
//!
//! The kernel tells the manager which thread made a call. The page says for which container that thread is at work at
//! this moment. A host that was taken over may write anything there: all of its containers are of one trust group.
#![allow(unsafe_code, reason = "memory that two processes share")]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// Threads of a host that may work for containers.
pub const THREADS: usize = 512;

/// In bytes: one word a thread.
const SIZE: usize = THREADS * size_of::<AtomicU64>();

/// The page, mapped for as long as this process lives. A word is a thread's number in the host's own pid namespace and,
/// in the lower half, the tag of a container, or 0.
#[derive(Clone, Copy)]
pub struct Tags(&'static [AtomicU64; THREADS]);

/// Makes the page.
pub fn page() -> io::Result<OwnedFd> {
    let page = memfd_create("tags", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&page, SIZE as u64)?;
    // A page that became shorter would end the manager when it looks.
    fcntl_add_seals(&page, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(page)
}

impl Tags {
    /// Maps what [`page`] made: to read, or to write as well.
    pub fn map(page: impl AsFd, write: bool) -> io::Result<Tags> {
        let access = if write { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping, which takes the place of none.
        let address = unsafe { mmap(ptr::null_mut(), SIZE, access, MapFlags::SHARED, page, 0)? };
        // SAFETY: the mapping is as long and as aligned, is never unmapped, and its memory cannot be taken back (the file
        // is sealed); both sides touch it by atomic operations alone, the reader by loads.
        Ok(Tags(unsafe { &*address.cast() }))
    }

    /// For which container the thread with this number is at work.
    pub fn of(&self, thread: u32) -> Option<u32> {
        let words = self.0.iter().map(|word| word.load(Ordering::Acquire));
        let found = words.map(|word| ((word >> 32) as u32, word as u32)).find(|(of, _)| *of == thread);
        found.map(|(_, tag)| tag).filter(|tag| *tag != 0)
    }

    /// The word of the thread number `index` of this process.
    pub(super) fn word(&self, index: usize) -> Option<&'static AtomicU64> {
        self.0.get(index)
    }
}

/// What stands in a thread's word.
pub(super) fn word(thread: u32, tag: u32) -> u64 {
    u64::from(thread) << 32 | u64::from(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let page = page().unwrap();
        let (host, manager) = (Tags::map(&page, true).unwrap(), Tags::map(&page, false).unwrap());
        assert_eq!(manager.of(7), None);
        host.word(3).unwrap().store(word(7, 42), Ordering::Release);
        assert_eq!(manager.of(7), Some(42));
        host.word(3).unwrap().store(word(7, 0), Ordering::Release);
        assert_eq!(manager.of(7), None);
        assert!(ftruncate(&page, 0).is_err());
    }
}
