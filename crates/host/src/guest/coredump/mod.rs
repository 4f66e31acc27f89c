//! The core dump of a guest that trapped, in the file that its grants name.
//!
//! Wasmtime tells what there is ([`WasmCoreDump`]); it is written piece by piece from the guest's own memory, and not as
//! Wasmtime would, in one piece: whoever has a memory limit has no room for a copy.

mod file;
mod format;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use grants::{CoreDump, Grants};
use wasmtime::{Error, Memory, Store, WasmCoreDump};

use super::Outcome;
use format::{Head, Pieces};

/// What is written at one go, before others have their turn.
const STEP: usize = 1 << 20;

/// How a file is filled that is large.
const BUFFER: usize = 32 << 10;

/// Where a guest's dump goes.
#[derive(Debug, Clone)]
pub(super) struct Dump {
    root: PathBuf,
    granted: CoreDump,
    /// What the dump calls the guest.
    name: String,
}

impl Dump {
    /// What was granted to a guest whose `/` this is.
    pub fn of(grants: &Grants, root: Option<&Path>) -> Option<Dump> {
        let name = grants.entry().path.to_string_lossy().into_owned();
        Some(Dump { root: root?.to_owned(), granted: grants.coredump()?.clone(), name })
    }

    /// Writes the dump when `error` is a trap, and has `outcome` say where it is, or why it is not.
    pub async fn after<T: Send + 'static>(&self, outcome: &mut Outcome, error: &Error, store: &mut Store<T>) {
        let (true, Some(seen)) = (outcome.is_trap(), error.downcast_ref::<WasmCoreDump>()) else { return };
        let head = Head::new(&self.name, seen, store);
        let path = &self.granted.path;
        outcome.add(&match self.write(&head, store, seen.memories()).await {
            Ok(written) => format!("core dump: {path}, {written}"),
            Err(error) => format!("core dump: none, {path} cannot be written: {error}"),
        });
    }

    /// Returns how much was written, in words.
    async fn write<T: Send + 'static>(
        &self,
        head: &Head,
        store: &mut Store<T>,
        memories: &[Memory],
    ) -> io::Result<String> {
        let max = self.granted.max_bytes;
        let Some(room) = max.checked_sub(head.bytes().len() as u64) else {
            return Err(io::Error::other(format!("{max} bytes, the node's limits.coredump, are too few")));
        };
        let file = file::open(&self.root, &self.granted.path)?;
        let mut pieces = Pieces::new(memories, store);
        while pieces.count(store, room, STEP) {
            tokio::task::yield_now().await;
        }
        if let Err(error) = fill(&file, head, &mut pieces, store).await {
            // A part of a dump is no dump, and may be all that a full disk has room for.
            file.set_len(0)?;
            return Err(error);
        }
        let bytes = file.metadata()?.len();
        Ok(match pieces.left_out() {
            0 => format!("{bytes} bytes"),
            left => format!(
                "{bytes} bytes, without {left} bytes of memory: {max} bytes, the node's limits.coredump, are all that it may have"
            ),
        })
    }
}

async fn fill<T: Send + 'static>(
    file: &File,
    head: &Head,
    pieces: &mut Pieces,
    store: &mut Store<T>,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER, file);
    out.write_all(head.bytes())?;
    out.write_all(&pieces.header())?;
    while pieces.write(store, &mut out, STEP)? {
        tokio::task::yield_now().await;
    }
    out.flush()
}
