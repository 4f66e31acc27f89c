//! Which file of a project has changed.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(100);

/// Folders of tools, by their names.
const MADE: [&str; 4] = ["target", "node_modules", "__pycache__", "build"];

/// The changes of some folders, without those that are nobody's work.
pub struct Changes {
    watcher: RecommendedWatcher,
    events: mpsc::UnboundedReceiver<PathBuf>,
    folder: PathBuf,
    watched: BTreeSet<PathBuf>,
    /// What builds make.
    made: BTreeSet<PathBuf>,
    /// What changed during the last build, and was no output of it.
    suspects: BTreeSet<PathBuf>,
    /// Changes that were seen and not told yet.
    pending: BTreeSet<PathBuf>,
}

impl Changes {
    /// Watches a folder with all that is in it.
    pub fn of(folder: &Path) -> Result<Changes> {
        let (sender, events) = mpsc::unbounded_channel();
        let tell = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if !matches!(event.kind, EventKind::Access(_) | EventKind::Other) {
                for path in event.paths {
                    drop(sender.send(path));
                }
            }
        };
        let watcher = notify::recommended_watcher(tell).context("cannot watch files")?;
        let folder =
            folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
        let mut changes = Changes {
            watcher,
            events,
            folder: folder.clone(),
            watched: BTreeSet::new(),
            made: BTreeSet::new(),
            suspects: BTreeSet::new(),
            pending: BTreeSet::new(),
        };
        changes.watcher.watch(&folder, RecursiveMode::Recursive).with_context(|| {
            format!("cannot watch {}: a larger sysctl fs.inotify.max_user_watches may help", folder.display())
        })?;
        changes.watched.insert(folder);
        Ok(changes)
    }

    /// Watches one more folder. One that is not there is none.
    pub fn watch(&mut self, folder: &Path) {
        let Ok(folder) = folder.canonicalize() else { return };
        if !self.watched.iter().any(|above| folder.starts_with(above))
            && self.watcher.watch(&folder, RecursiveMode::Recursive).is_ok()
        {
            self.watched.insert(folder);
        }
    }

    /// What changes from now on may be the build's own doing.
    pub fn begin_build(&mut self) {
        self.collect();
        self.pending.clear();
    }

    /// `outputs` are. What else has changed meanwhile may be somebody's work, and is a change like any other; if it changes during
    /// the next build, too, the build makes it.
    pub fn end_build(&mut self, outputs: &[PathBuf]) {
        self.made.extend(outputs.iter().map(|path| real(path)));
        self.collect();
        let seen: BTreeSet<PathBuf> =
            self.pending.iter().filter(|path| !self.made.contains(*path)).cloned().collect();
        self.made.extend(seen.intersection(&self.suspects).cloned());
        self.pending = seen.difference(&self.suspects).cloned().collect();
        self.suspects = seen;
    }

    /// Waits for a change, and until it is over.
    pub async fn next(&mut self) -> Result<PathBuf> {
        loop {
            self.collect();
            self.pending.retain(|path| !self.made.contains(path));
            if self.pending.is_empty() {
                let path = self.events.recv().await.context("files are not watched any more")?;
                self.add(path);
                continue;
            }
            while let Ok(Some(path)) = timeout(QUIET, self.events.recv()).await {
                self.add(path);
            }
            let first = self.pending.iter().find(|path| !self.made.contains(*path)).cloned();
            if let Some(first) = first {
                self.pending.clear();
                return Ok(first.strip_prefix(&self.folder).map(Path::to_owned).unwrap_or(first));
            }
        }
    }

    fn collect(&mut self) {
        while let Ok(path) = self.events.try_recv() {
            self.add(path);
        }
    }

    fn add(&mut self, path: PathBuf) {
        let within = self.watched.iter().find_map(|folder| path.strip_prefix(folder).ok());
        if within.is_some_and(is_somebodys) {
            self.pending.insert(path);
        }
    }
}

/// Whether people write such a file: it is not hidden, not in a folder of tools, not a draft of `run-wasm build`.
fn is_somebodys(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    let mut any = false;
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { continue };
        let name = name.to_string_lossy();
        any = true;
        if name.starts_with('.') || name.ends_with('~') || (MADE.contains(&&*name) && parts.peek().is_some())
        {
            return false;
        }
        if parts.peek().is_none() && (name == *builder::project::LOCK_FILE || name.ends_with(".new")) {
            return false;
        }
    }
    any
}

/// The path without links, as the kernel tells of changes; the file itself may be missing.
fn real(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_write_is_nobodys_work() {
        for path in ["src/main.rs", "run.toml", "a/b/math.wat", "target.rs", "build"] {
            assert!(is_somebodys(Path::new(path)), "{path}");
        }
        for path in [
            "target/x/y.wasm",
            ".git/index",
            "a/.main.rs.swp",
            "run.lock.toml",
            "run.lock.toml.17.new",
            "node_modules/x/y.js",
            "main.rs~",
            "",
        ] {
            assert!(!is_somebodys(Path::new(path)), "{path}");
        }
    }

    #[tokio::test]
    async fn a_change_is_told_once_and_what_a_build_makes_never() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut changes = Changes::of(folder.path()).unwrap();
        std::fs::write(at("main.wat"), "x").unwrap();
        assert_eq!(changes.next().await.unwrap(), Path::new("main.wat"));
        let settle = || tokio::time::sleep(Duration::from_millis(100));
        // The same file twice in builds, with nobody's help: the build makes it.
        for _ in 0..2 {
            changes.begin_build();
            std::fs::write(at("out.wasm"), "x").unwrap();
            std::fs::write(at("notes.txt"), "x").unwrap();
            settle().await;
            changes.end_build(&[at("out.wasm")]);
        }
        std::fs::write(at("notes.txt"), "x").unwrap();
        std::fs::write(at("out.wasm"), "x").unwrap();
        std::fs::write(at("other.wat"), "x").unwrap();
        assert_eq!(changes.next().await.unwrap(), Path::new("other.wat"));
    }
}
