//! The folder of a container, as containerd lays it out for its shim.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use containerd_shim_protos::api::CreateTaskRequest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::books::Entry;

/// How long a guest may take to write.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

pub struct Bundle {
    pub entry: Entry,
    folder: tempfile::TempDir,
    streams: Option<Streams>,
}

/// FIFOs, both ends of which are held open: nobody who opens one of them has to wait.
struct Streams {
    stdout: File,
    _stderr: File,
    _log: File,
}

impl Bundle {
    /// One whose output is read.
    pub fn make(entry: Entry) -> Result<Bundle> {
        let mut bundle = Bundle::silent(entry)?;
        let fifo = |name| fifo(&bundle.path().join(name));
        let streams = Streams { stdout: fifo("stdout")?, _stderr: fifo("stderr")?, _log: fifo("log")? };
        bundle.streams = Some(streams);
        Ok(bundle)
    }

    /// One without streams, as `ctr run --null-io` makes it: nobody holds a descriptor for it.
    pub fn silent(entry: Entry) -> Result<Bundle> {
        let folder = tempfile::TempDir::new_in("/run")?;
        fs::write(folder.path().join("config.json"), &entry.spec)?;
        fs::create_dir(folder.path().join("rootfs"))?;
        Ok(Bundle { entry, folder, streams: None })
    }

    pub fn id(&self) -> &str {
        &self.entry.id
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What Create sends.
    pub fn create_request(&self) -> CreateTaskRequest {
        let stream = |name| match &self.streams {
            Some(_) => self.path().join(name).display().to_string(),
            None => String::new(),
        };
        CreateTaskRequest {
            id: self.id().to_owned(),
            bundle: self.path().display().to_string(),
            rootfs: self.entry.rootfs.clone(),
            stdout: stream("stdout"),
            stderr: stream("stderr"),
            ..Default::default()
        }
    }

    /// Waits until the guest writes, and reads what there is: as under containerd, no output stays unread, for which a shim
    /// may wait at the container's end.
    pub fn first_output(&self) -> Result<()> {
        let streams = self.streams.as_ref().context("this container's output is not read")?;
        let mut readable = [PollFd::new(&streams.stdout, PollFlags::IN)];
        ensure!(poll(&mut readable, Some(&PATIENCE))? == 1, "{} wrote nothing", self.id());
        let read = (&streams.stdout).read(&mut [0; 4096])?;
        ensure!(read > 0, "{} wrote nothing", self.id());
        Ok(())
    }
}

fn fifo(path: &Path) -> Result<File> {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    Ok(OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::CLOEXEC.bits().cast_signed())
        .open(path)?)
}
