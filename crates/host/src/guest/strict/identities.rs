//! Which of the files that a guest has met a file is, in place of its inode.

use std::collections::HashMap;

/// Numbers from 1, in the order in which the guest asks.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    known: HashMap<u128, u64>,
    last: u64,
}

impl Identities {
    /// The number of the file with this hash of its inode.
    pub fn of(&mut self, hash: u128) -> u64 {
        *self.known.entry(hash).or_insert_with(|| {
            self.last += 1;
            self.last
        })
    }

    /// After a file is gone: whether its inode is used again is the file system's choice, so all numbers are new.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_number_and_two_files_have_two() {
        let mut identities = Identities::default();
        assert_eq!([7, 3, 7].map(|hash| identities.of(hash)), [1, 2, 1]);
    }

    #[test]
    fn an_inode_that_is_used_again_is_another_file() {
        let mut identities = Identities::default();
        identities.of(7);
        identities.forget();
        assert_eq!(identities.of(7), 2);
    }
}
