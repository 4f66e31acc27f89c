//! The node's OCI runtime, called as containerd calls it: `runc`, or what the node's config names.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

use super::family;
use super::room::Room;

/// The runtime and the container that it is asked about.
#[derive(Debug, Clone)]
pub struct Runtime {
    pub program: PathBuf,
    /// Whether the tree of cgroups is systemd's.
    pub systemd: bool,
    pub room: Room,
    pub id: String,
}

/// What a new process has for stdin, stdout and stderr; nothing where the runtime makes it a terminal.
pub type Streams<'a> = [Option<BorrowedFd<'a>>; 3];

/// A line of the runtime's log.
#[derive(Deserialize)]
struct Line {
    level: String,
    msg: String,
}

/// Finds a program by a path, or by its name in `PATH`.
pub fn find(program: &Path) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path);
    let mut places = std::iter::once(PathBuf::new()).filter(|_| program.is_absolute()).chain(folders);
    places.find_map(|folder| Some(folder.join(program)).filter(|place| place.is_file())).with_context(|| {
        format!(
            "the node has no {}, which runs native containers: install it, or name another by native-runtime in the node's \
             config",
            program.display()
        )
    })
}

/// Numbers the files of calls that may be under way at once.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// A name of a file that no other call has.
pub fn fresh(what: &str) -> String {
    format!("{what}-{}", CALLS.fetch_add(1, Ordering::Relaxed))
}

impl Runtime {
    /// Calls it: `before` are the words before the container's id, `after` those behind it.
    pub async fn call(&self, before: &[&OsStr], after: &[&OsStr], streams: Streams<'_>) -> Result<()> {
        let log = self.room.file(fresh("log"));
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.room.state());
        command.arg("--log").arg(&log).args(["--log-format", "json"]);
        if self.systemd {
            command.arg("--systemd-cgroup");
        }
        command.args(before).arg(&self.id).args(after).current_dir("/");
        let [stdin, stdout, stderr] = streams.map(|stream| {
            stream
                .map_or(Ok(Stdio::null()), |stream| std::io::Result::Ok(stream.try_clone_to_owned()?.into()))
        });
        command.stdin(stdin?).stdout(stdout?).stderr(stderr?);
        family::ends_with_us(&mut command);
        let status = command.status().await;
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        drop(std::fs::remove_file(&log));
        let name = self.program.file_name().unwrap_or_default().display();
        match status.with_context(|| format!("cannot start {}", self.program.display()))? {
            status if status.success() => Ok(()),
            status => match complaint(&said) {
                Some(complaint) => bail!("{name}: {complaint}"),
                None => bail!("{name} failed without a word ({status})"),
            },
        }
    }

    /// Calls it with nothing to read and nobody to talk to.
    pub async fn tell(&self, words: &[&str], after: &[&str]) -> Result<()> {
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        let after: Vec<&OsStr> = after.iter().map(OsStr::new).collect();
        self.call(&words, &after, [None; 3]).await
    }
}

/// The last error of a log, in one line.
fn complaint(log: &str) -> Option<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let last = lines.rev().find(|line| matches!(line.level.as_str(), "error" | "fatal"))?;
    let words: Vec<&str> = last.msg.split_whitespace().collect();
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_the_complaint() {
        let log = "noise\n{\"level\":\"warning\",\"msg\":\"w\"}\n{\"level\":\"error\",\"msg\":\"first\"}\n\
                   {\"level\":\"error\",\"msg\":\"exec: \\\"nope\\\":\\n not found\",\"time\":\"t\"}\n";
        assert_eq!(complaint(log).as_deref(), Some("exec: \"nope\": not found"));
        assert_eq!(complaint("{}"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_the_cure() {
        let error = find(Path::new("no-such-runtime")).unwrap_err().to_string();
        assert!(error.contains("no-such-runtime") && error.contains("native-runtime"), "{error}");
        assert_eq!(find(Path::new("/bin/sh")).unwrap(), Path::new("/bin/sh"));
        assert!(find(Path::new("sh")).unwrap().is_absolute());
    }
}
