//! What the tests have in common.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use builder::registry::{Client, Event, Options, Patience, Progress, Repository, Store};
use image::ImageBuilder;
use image::build::Layout;
use tempfile::TempDir;

/// Remembers what it is told.
#[derive(Debug, Default)]
pub struct Diary(Mutex<Vec<Event>>);

impl Progress for Diary {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Diary {
    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| wanted(event)).count()
    }
}

pub struct Kit {
    pub client: Client,
    pub diary: Arc<Diary>,
    pub store: Store,
    pub folder: TempDir,
}

/// Waits in milliseconds where people wait in seconds; but a test stands still for a while and must not ask once more for that.
pub fn options() -> Options {
    let patience = Patience {
        attempts: 5,
        first_wait: Duration::from_millis(5),
        longest_wait: Duration::from_secs(3),
        stall: Duration::from_secs(30),
    };
    // No test reads the credentials of the user who runs it.
    Options { patience, piece: 64 << 10, docker_config: Some("/nonexistent".into()), ..Options::default() }
}

impl Kit {
    pub fn new() -> Kit {
        Kit::with(options())
    }

    pub fn with(options: Options) -> Kit {
        let diary = Arc::new(Diary::default());
        let client = Client::new(options, diary.clone()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("cache")).unwrap();
        Kit { client, diary, store, folder }
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The names of all files in the cache.
    pub fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store.root().join("blobs/sha256")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub fn repository(address: &str, path: &str) -> Repository {
    format!("{address}/{path}").parse().unwrap()
}

/// A small image; `salt` tells one from another.
pub fn image(salt: &str) -> Layout {
    large_image(salt, 0)
}

/// An image with a layer of `size` bytes besides.
pub fn large_image(salt: &str, size: usize) -> Layout {
    let module = wat::parse_str(format!("(module (func (export \"{salt}\")))")).unwrap();
    let mut builder = ImageBuilder::new().wasm("app.wasm", module);
    if size > 0 {
        builder = builder.layer("data", "application/octet-stream", noise(salt, size));
    }
    builder.build().unwrap()
}

/// Bytes that do not repeat, so that a piece at the wrong place is noticed.
pub fn noise(salt: &str, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 32);
    let mut counter = 0u64;
    while bytes.len() < size {
        bytes.extend(image::Digest::of(format!("{salt} {counter}").as_bytes()).hex().bytes());
        counter += 1;
    }
    bytes.truncate(size);
    bytes
}

pub fn write_tar(path: &Path, layout: &Layout, reference: &str) {
    fs::write(path, layout.to_tar(reference, 0).unwrap()).unwrap();
}

/// One line, as a person reads it.
pub fn sentence(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}
