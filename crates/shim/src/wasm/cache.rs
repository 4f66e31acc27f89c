//! The AOT cache: compiled code by the digest of its Wasm and the engine's configuration.
//!
//! Entries are made by this shim from what its own compiler wrote, never from bytes of an image. A file appears under
//! its name whole or not at all; a crash leaves nothing, because drafts have no name and locks end with their holder.
//! The folder belongs to root alone; a host gets one entry, as a read-only mount.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use grants::Policy;
use host::engine::Build;
use image::Digest;
use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, linkat, openat};
use sha2::{Digest as _, Sha256};

use super::compiler;
use super::source::Source;
use crate::containerd::Containerd;
use crate::observe::{self, Stage};

/// The file whose byte ranges are the locks: one byte per key, and far behind it one for those who compile it idly.
const LOCKS: &str = "locks";
const IDLE_LOCKS: i64 = 1 << 32;

/// How often whoever compiles idly looks whether somebody else has compiled the same.
const LOOK: Duration = Duration::from_millis(250);

/// Compiled code.
pub struct Code {
    /// What it is called in the cache; other code is called otherwise.
    pub name: String,
    pub file: File,
}

/// The cache of one node.
pub struct Cache {
    dir: PathBuf,
    max_bytes: u64,
    policy: grants::policy::Compile,
    /// Whether a compilation has only the time that nobody else of its cgroup wants.
    idly: bool,
}

impl Cache {
    /// The cache that the node's policy names.
    pub fn of(policy: &Policy) -> Cache {
        Cache {
            dir: policy.cache.dir.clone(),
            max_bytes: policy.cache.max_bytes.0,
            policy: policy.compile.clone(),
            idly: false,
        }
    }

    /// The same for somebody whom nobody waits for.
    pub fn idly(self) -> Cache {
        Cache { idly: true, ..self }
    }

    /// The compiled code of a source, compiled now if it is not there. Whoever else wants it at the same time waits
    /// for that one compilation; but nobody waits for an idle one.
    pub async fn get(&self, source: &Source, build: Build, containerd: Option<&Containerd>) -> Result<Code> {
        let name = file_name(&source.digest, build);
        let file = self.file(&name, source, build, containerd).await?;
        Ok(Code { name, file })
    }

    async fn file(
        &self,
        name: &str,
        source: &Source,
        build: Build,
        containerd: Option<&Containerd>,
    ) -> Result<File> {
        if let Some(entry) = self.find(name)? {
            return Ok(entry);
        }
        self.make_folder()?;
        let among_idle = if self.idly { Some(self.lock(name, IDLE_LOCKS).await?) } else { None };
        let lock = self.lock(name, 0).await?;
        let entry = match self.find(name)? {
            Some(entry) => entry,
            None if self.idly => {
                // Nobody compiles it, and whoever wants to now does not wait.
                drop(lock);
                self.compile_idly(name, source, build, containerd).await?
            }
            None => {
                let entry = self.compile(name, source, build, containerd).await?;
                drop(lock);
                entry
            }
        };
        drop(among_idle);
        Ok(entry)
    }

    /// Forgets an entry that does not fit the engine after all.
    pub fn forget(&self, source: &Source, build: Build) -> Result<()> {
        match fs::remove_file(self.dir.join(file_name(&source.digest, build))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context("cannot remove a stale entry of the AOT cache")
            }
            _ => Ok(()),
        }
    }

    fn find(&self, name: &str) -> Result<Option<File>> {
        match File::open(self.dir.join(name)) {
            Ok(file) => {
                // Marks it as used, for eviction. On a read-only cache nothing is evicted either.
                drop(file.set_modified(SystemTime::now()));
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| self.trouble()),
        }
    }

    fn trouble(&self) -> String {
        format!(
            "the AOT cache {} cannot be used: cache.dir of the node config names another folder",
            self.dir.display()
        )
    }

    /// Whether its disk has no room for one more byte: then what failed is not the Wasm.
    fn is_full(&self) -> bool {
        rustix::fs::statvfs(&self.dir).is_ok_and(|disk| disk.f_bavail == 0)
    }

    fn make_folder(&self) -> Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).with_context(|| self.trouble())
    }

    /// Waits for the lock of one key, among the locks that begin at a byte of the file. Locks of the open file description end with
    /// it, and with the process.
    async fn lock(&self, name: &str, begin: i64) -> Result<File> {
        let path = self.dir.join(LOCKS);
        let key = i64::from(u32::from_be_bytes(*Sha256::digest(name).first_chunk().unwrap_or(&[0; 4])));
        let start = begin.saturating_add(key);
        let lock = move || -> io::Result<File> {
            let file = File::options().create(true).truncate(false).write(true).read(true).open(path)?;
            let range = libc::flock {
                l_type: libc::F_WRLCK as i16,
                l_whence: libc::SEEK_SET as i16,
                l_start: start,
                l_len: 1,
                l_pid: 0,
            };
            loop {
                match fcntl(&file, FcntlArg::F_OFD_SETLKW(&range)) {
                    Err(nix::errno::Errno::EINTR) => {}
                    result => return result.map(|_| file).map_err(Into::into),
                }
            }
        };
        let locked = tokio::task::spawn_blocking(lock).await.context("the locking thread panicked")?;
        locked.with_context(|| self.trouble())
    }

    /// Compiles until somebody else has, who did not wait for it. The compiler ends with what is dropped.
    async fn compile_idly(
        &self,
        name: &str,
        source: &Source,
        build: Build,
        containerd: Option<&Containerd>,
    ) -> Result<File> {
        let made = async {
            loop {
                tokio::time::sleep(LOOK).await;
                match self.find(name) {
                    Ok(None) => {}
                    Ok(Some(entry)) => return Ok(entry),
                    Err(error) => return Err(error),
                }
            }
        };
        tokio::select! {
            compiled = self.compile(name, source, build, containerd) => compiled,
            made = made => made,
        }
    }

    async fn compile(
        &self,
        name: &str,
        source: &Source,
        build: Build,
        containerd: Option<&Containerd>,
    ) -> Result<File> {
        let draft = openat(
            CWD,
            &self.dir,
            OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o600),
        );
        let draft = File::from(draft.with_context(|| self.trouble())?);
        let input = source.bytes(containerd).await?;
        let compiling = compiler::compile(&source.digest, build, input, &draft, &self.policy, self.idly);
        let compiled = observe::stage(Stage::Compile, compiling).await;
        // The compiler knows neither the file's name nor the folder's.
        compiled.with_context(|| if self.is_full() { self.trouble() } else { source.name.clone() })?;
        let path = self.dir.join(name);
        let keep = || -> io::Result<()> {
            draft.sync_data()?;
            fchmod(&draft, Mode::from_raw_mode(0o444))?;
            // By its descriptor itself it would need a capability that people who are not root do not have (open(2)).
            let draft = format!("/proc/self/fd/{}", draft.as_raw_fd());
            match linkat(CWD, draft, CWD, &path, AtFlags::SYMLINK_FOLLOW) {
                // One that was compiled idly at the same time.
                Err(rustix::io::Errno::EXIST) => Ok(()),
                linked => Ok(linked?),
            }
        };
        keep().with_context(|| self.trouble())?;
        self.evict(name);
        File::open(&path).with_context(|| self.trouble())
    }

    /// Removes what was used least recently until the rest fits. Whoever has an entry open or mapped keeps it.
    fn evict(&self, newest: &str) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut entries: Vec<_> = entries
            .filter_map(|entry| entry.ok())
            .filter(|entry| entry.file_name() != LOCKS && entry.file_name() != newest)
            .filter_map(|entry| Some((entry.metadata().ok()?, entry.path())))
            .collect();
        entries.sort_by_key(|(metadata, _)| std::cmp::Reverse((metadata.mtime(), metadata.mtime_nsec())));
        let mut total = fs::metadata(self.dir.join(newest)).map_or(0, |metadata| metadata.len());
        for (metadata, path) in entries {
            total = total.saturating_add(metadata.len());
            if total > self.max_bytes
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(%error, path = %path.display(), "cannot evict from the AOT cache");
            }
        }
    }
}

/// An entry's name: the Wasm's digest, and a digest of everything that decides what it compiles to.
fn file_name(digest: &Digest, build: Build) -> String {
    let engine: String =
        Sha256::digest(host::engine::tag(build)).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{engine}.cwasm", digest.hex())
}
