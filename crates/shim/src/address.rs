//! Where a shim can be reached: its socket, and that of its metrics.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::observe::scrape;

/// The socket of a shim that serves one pod.
#[derive(Debug)]
pub struct Address(Mutex<Option<PathBuf>>);

impl Address {
    pub fn new(socket: &Path) -> Address {
        Address(Mutex::new(Some(socket.to_owned())))
    }

    /// Takes it away, once. A shim that will end does so before it says that it will: whoever starts a shim for the same pod
    /// from then on finds none and makes one, whose address this is.
    pub fn withdraw(&self) {
        let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if let Some(name) = socket.file_name().and_then(|name| name.to_str()) {
            scrape::forget(name);
        }
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, socket = %socket.display(), "cannot remove the socket");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_shim_binds_in_its_place_is_not_taken_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("socket");
        std::fs::write(&socket, "ours").expect("a file");
        let address = Address::new(&socket);
        address.withdraw();
        assert!(!socket.exists());
        std::fs::write(&socket, "another's").expect("a file");
        address.withdraw();
        assert!(socket.exists());
    }
}
