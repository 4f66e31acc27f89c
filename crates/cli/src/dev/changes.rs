//! Which file of a project has changed.
//!
//! What changes while a build runs may be the build's work or somebody's. Only what a project declares to be made is known to be
//! the build's. All else is built again, unless it is byte for byte what the build before it has left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use image::Digest;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(100);

/// How long a moment of quiet is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many builds in a row may begin for nothing but what changed during the one before.
const MOST: u32 = 3;

/// As far as this a file is compared, in bytes.
const COMPARED: u64 = 64 << 20;

/// Folders of tools, by their names.
const MADE: [&str; 4] = ["target", "node_modules", "__pycache__", "build"];

/// What the kernel tells.
enum Seen {
    Changed {
        path: PathBuf,
        /// It was not there before.
        is_new: bool,
    },
    /// More than it could tell.
    Lost,
}

/// The changes of some folders, without those that are nobody's work.
pub struct Changes {
    watcher: RecommendedWatcher,
    events: mpsc::UnboundedReceiver<Seen>,
    folder: PathBuf,
    watched: BTreeSet<PathBuf>,
    /// Folders and files that the guest writes to.
    guests: Vec<PathBuf>,
    /// What builds are declared to make.
    made: BTreeSet<PathBuf>,
    /// What changed during the last build and was no output of it, and what was in it at the end: a file's content, or nothing.
    suspects: BTreeMap<PathBuf, Option<Digest>>,
    /// What came into being since the last build began.
    new: BTreeSet<PathBuf>,
    /// Changes that were seen and not told yet.
    pending: BTreeSet<PathBuf>,
    /// Whether a build runs.
    building: bool,
    /// Whether all changes that were not told yet happened during the last build.
    only_suspects: bool,
    /// How many builds in a row have begun for such.
    again: u32,
}

impl Changes {
    /// Watches a folder with all that is in it. What changes in `guests` is a guest's doing.
    pub fn of<'a>(folder: &Path, guests: impl Iterator<Item = &'a Path>) -> Result<Changes> {
        let (sender, events) = mpsc::unbounded_channel();
        let tell = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if event.need_rescan() {
                drop(sender.send(Seen::Lost));
            } else if !matches!(event.kind, EventKind::Access(_) | EventKind::Other) {
                let is_new = matches!(event.kind, EventKind::Create(_));
                for path in event.paths {
                    drop(sender.send(Seen::Changed { path, is_new }));
                }
            }
        };
        let mut watcher = notify::recommended_watcher(tell).context("cannot watch files")?;
        let folder =
            folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
        watcher.watch(&folder, RecursiveMode::Recursive).with_context(|| {
            format!("cannot watch {}: a larger sysctl fs.inotify.max_user_watches may help", folder.display())
        })?;
        // A guest that has all of the project leaves the rest to be watched.
        let guests = guests.filter(|guest| !folder.starts_with(guest)).map(real).collect();
        Ok(Changes {
            watcher,
            events,
            watched: BTreeSet::from([folder.clone()]),
            folder,
            guests,
            made: BTreeSet::new(),
            suspects: BTreeMap::new(),
            new: BTreeSet::new(),
            pending: BTreeSet::new(),
            building: false,
            only_suspects: false,
            again: 0,
        })
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
        self.new.clear();
        self.building = true;
    }

    /// `outputs` are. What else has changed meanwhile may be somebody's work, and is a change like any other; if the build
    /// before left the same behind, the build makes it.
    ///
    /// # Returns
    /// What changes during every build, if it has for too long: another change is waited for.
    pub async fn end_build(&mut self, outputs: &[PathBuf]) -> Option<PathBuf> {
        self.made.extend(outputs.iter().map(|path| real(path)));
        // The kernel tells of the last changes a little later.
        self.quiet().await;
        self.forget();
        self.building = false;
        let mut seen = BTreeMap::new();
        for path in std::mem::take(&mut self.pending) {
            let now = content(&path);
            // What was lost may be anything.
            if path == self.folder || self.suspects.get(&path) != Some(&now) {
                self.pending.insert(path.clone());
            }
            seen.insert(path, now);
        }
        self.suspects = seen;
        self.only_suspects = !self.pending.is_empty();
        if self.only_suspects && self.again >= MOST {
            let first = self.pending.first().map(|path| self.shown(path));
            self.pending.clear();
            return first;
        }
        None
    }

    /// Waits for a change, and until it is over.
    pub async fn next(&mut self) -> Result<PathBuf> {
        loop {
            self.collect();
            self.forget();
            if self.pending.is_empty() {
                let seen = self.events.recv().await.context("files are not watched any more")?;
                self.add(seen);
                continue;
            }
            self.quiet().await;
            self.forget();
            if let Some(first) = self.pending.first().map(|path| self.shown(path)) {
                self.again = if self.only_suspects { self.again + 1 } else { 0 };
                self.pending.clear();
                return Ok(first);
            }
        }
    }

    /// Takes what comes until nothing has come for a moment. What is nobody's work breaks no quiet.
    async fn quiet(&mut self) {
        let latest = Instant::now() + PATIENCE;
        let mut end = Instant::now() + QUIET;
        while let Ok(Some(seen)) = timeout_at(end.min(latest), self.events.recv()).await {
            if self.add(seen) {
                end = Instant::now() + QUIET;
            }
        }
    }

    fn collect(&mut self) {
        while let Ok(seen) = self.events.try_recv() {
            self.add(seen);
        }
    }

    /// Whether it is a change that counts.
    fn add(&mut self, seen: Seen) -> bool {
        let (path, is_new, counts) = match seen {
            Seen::Changed { path, is_new } => {
                let within = self.watched.iter().find_map(|folder| path.strip_prefix(folder).ok());
                let counts = within.is_some_and(is_somebodys)
                    && !self.made.contains(&path)
                    && !self.guests.iter().any(|guest| path.starts_with(guest));
                (path, is_new, counts)
            }
            Seen::Lost => {
                self.watch_again();
                (self.folder.clone(), false, true)
            }
        };
        if !counts {
            return false;
        }
        if is_new && !self.pending.contains(&path) {
            self.new.insert(path.clone());
        }
        if !self.building {
            // Somebody's, and news to the next build.
            self.only_suspects = false;
            self.suspects.remove(&path);
        }
        self.pending.insert(path);
        true
    }

    /// New folders may have been among what was lost.
    fn watch_again(&mut self) {
        for folder in &self.watched {
            // One that has gone has no changes.
            drop(self.watcher.unwatch(folder));
            drop(self.watcher.watch(folder, RecursiveMode::Recursive));
        }
    }

    /// Forgets what builds make, and what came and went: nothing that was built had it.
    fn forget(&mut self) {
        let (made, new) = (&self.made, &self.new);
        self.pending
            .retain(|path| !(made.contains(path) || new.contains(path) && path.symlink_metadata().is_err()));
    }

    fn shown(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.folder) {
            Ok(below) if below.as_os_str().is_empty() => PathBuf::from("."),
            Ok(below) => below.to_owned(),
            Err(_) => path.to_owned(),
        }
    }
}

/// What is in a file, as far as it is compared; of what is no file, or cannot be read, nothing.
fn content(path: &Path) -> Option<Digest> {
    let meta = path.metadata().ok().filter(|meta| meta.is_file())?;
    let mut bytes = meta.len().to_le_bytes().to_vec();
    File::open(path).ok()?.take(COMPARED).read_to_end(&mut bytes).ok()?;
    Some(Digest::of(&bytes))
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

    struct Scene {
        folder: tempfile::TempDir,
        changes: Changes,
    }

    impl Scene {
        fn new() -> Scene {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("data")).unwrap();
            let data = folder.path().join("data");
            let guests = [data.as_path(), folder.path()];
            let changes = Changes::of(folder.path(), guests.into_iter()).unwrap();
            Scene { folder, changes }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.at(name), text).unwrap();
        }

        async fn next(&mut self) -> PathBuf {
            let next = tokio::time::timeout(Duration::from_secs(20), self.changes.next());
            next.await.expect("nothing is told").unwrap()
        }

        /// A build that writes these, of which `out.wasm` is its output.
        async fn build(&mut self, files: &[(&str, &str)]) -> Option<PathBuf> {
            self.changes.begin_build();
            for (name, text) in files {
                self.write(name, text);
            }
            // Whoever has heard of this has heard of all that was written before; a hidden file is nobody's work.
            self.write(".last", "");
            while let Some(seen) = self.changes.events.recv().await {
                let is_last = matches!(&seen, Seen::Changed { path, .. } if path.ends_with(".last"));
                self.changes.add(seen);
                if is_last {
                    break;
                }
            }
            std::fs::remove_file(self.at(".last")).unwrap();
            let output = self.at("out.wasm");
            self.changes.end_build(&[output]).await
        }
    }

    #[tokio::test]
    async fn a_change_is_told_once_and_what_a_build_makes_never() {
        let mut scene = Scene::new();
        scene.write("main.wat", "x");
        assert_eq!(scene.next().await, Path::new("main.wat"));
        // The same in two builds, with nobody's help: the build makes it.
        for _ in 0..2 {
            assert_eq!(scene.build(&[("out.wasm", "x"), ("notes.txt", "x")]).await, None);
        }
        scene.write("out.wasm", "x");
        scene.write("other.wat", "x");
        assert_eq!(scene.next().await, Path::new("other.wat"));
        // Once it has been somebody's work it is again.
        scene.write("notes.txt", "y");
        assert_eq!(scene.next().await, Path::new("notes.txt"));
    }

    #[tokio::test]
    async fn a_file_that_is_saved_during_two_builds_is_built_again() {
        let mut scene = Scene::new();
        for text in ["a", "b"] {
            assert_eq!(scene.build(&[("main.wat", text)]).await, None);
            assert_eq!(scene.next().await, Path::new("main.wat"));
        }
        assert_eq!(scene.build(&[]).await, None);
        scene.write("main.wat", "c");
        assert_eq!(scene.next().await, Path::new("main.wat"));
    }

    #[tokio::test]
    async fn a_build_that_changes_something_every_time_comes_to_an_end() {
        let mut scene = Scene::new();
        for time in ["1", "2", "3"] {
            assert_eq!(scene.build(&[("time.txt", time)]).await, None);
            assert_eq!(scene.next().await, Path::new("time.txt"));
        }
        assert_eq!(scene.build(&[("time.txt", "4")]).await, Some("time.txt".into()));
        scene.write("time.txt", "5");
        assert_eq!(scene.next().await, Path::new("time.txt"));
        assert_eq!(scene.build(&[("time.txt", "6")]).await, None);
    }

    #[tokio::test]
    async fn what_came_and_went_and_what_the_guest_writes_is_no_change() {
        let mut scene = Scene::new();
        scene.changes.begin_build();
        scene.write("config.ts.timestamp-1.mjs", "x");
        std::fs::remove_file(scene.at("config.ts.timestamp-1.mjs")).unwrap();
        assert_eq!(scene.changes.end_build(&[]).await, None);
        scene.write("data/log", "x");
        scene.write("main.wat", "x");
        assert_eq!(scene.next().await, Path::new("main.wat"));
        scene.changes.begin_build();
        std::fs::remove_file(scene.at("main.wat")).unwrap();
        assert_eq!(scene.changes.end_build(&[]).await, None);
        assert_eq!(scene.next().await, Path::new("main.wat"));
    }

    #[tokio::test]
    async fn what_is_nobodys_work_holds_up_no_change() {
        let mut scene = Scene::new();
        let hidden = scene.at(".log");
        let noise = tokio::spawn(async move {
            loop {
                std::fs::write(&hidden, "x").unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        scene.write("main.wat", "x");
        assert_eq!(scene.next().await, Path::new("main.wat"));
        noise.abort();
    }

    #[tokio::test]
    async fn more_than_the_kernel_could_tell_is_a_change_and_is_watched_on() {
        let mut scene = Scene::new();
        for _ in 0..2 {
            scene.changes.begin_build();
            assert!(scene.changes.add(Seen::Lost));
            assert_eq!(scene.changes.end_build(&[]).await, None);
            assert_eq!(scene.next().await, Path::new("."));
        }
        scene.write("main.wat", "x");
        assert_eq!(scene.next().await, Path::new("main.wat"));
    }
}
