//! Where attempts are made: a volume, and beside it a canary that no grant covers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use testkit::{Containerd, Outcome, Run, Wasi};

use crate::attempt::Verdict;

/// Where the guest sees its volume.
pub const DATA: &str = "/data";

const NOT_COUNTED: &str = "moved";

/// What one attempt has to itself.
///
/// `<folder>/volume` is the volume. `<folder>/outside/canary` holds a secret: to read it, to change it, or to leave anything
/// beside it is an escape.
pub struct Scene<'a> {
    pub daemon: &'a Containerd,
    pub wasi: Wasi,
    /// The control: nothing is to keep the guest from its target.
    pub open: bool,
    folder: PathBuf,
    secret: String,
}

impl<'a> Scene<'a> {
    pub fn new(daemon: &'a Containerd, wasi: Wasi, open: bool) -> Result<Scene<'a>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = daemon.nest().folder().join(format!("scene-{number}"));
        let secret = format!("secret-{}-{number}", std::process::id());
        let scene = Scene { daemon, wasi, open, folder, secret };
        fs::create_dir_all(scene.volume())?;
        fs::create_dir(scene.outside())?;
        fs::write(scene.canary(), &scene.secret)?;
        // Whoever gets here by a way around the mounts shall not be stopped by mere permissions.
        for folder in [scene.folder.clone(), scene.outside(), scene.volume()] {
            fs::set_permissions(&folder, PermissionsExt::from_mode(0o777))
                .with_context(|| format!("cannot open {}", folder.display()))?;
        }
        fs::set_permissions(scene.canary(), PermissionsExt::from_mode(0o666))?;
        Ok(scene)
    }

    /// The folder of the node that the guest is granted.
    pub fn volume(&self) -> PathBuf {
        self.folder.join("volume")
    }

    /// A folder of the node that it is not granted, beside the volume.
    pub fn outside(&self) -> PathBuf {
        self.folder.join("outside")
    }

    /// The file in it that holds the secret.
    pub fn canary(&self) -> PathBuf {
        self.outside().join("canary")
    }

    /// Another folder that it may be granted, with a file `own` in it.
    pub fn spare(&self) -> Result<PathBuf> {
        let folder = self.folder.join("spare");
        fs::create_dir(&folder)?;
        fs::write(folder.join("own"), "own")?;
        Ok(folder)
    }

    /// A folder beside the canary, for attempts that move folders to there; it counts as nothing left behind.
    pub fn outside_of_sight(&self) -> Result<PathBuf> {
        let folder = self.outside().join(NOT_COUNTED);
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// A guest of test-images with the volume at [`DATA`]; in the control with the folder around volume and canary.
    pub fn guest(&self, name: &str) -> Run<'a> {
        self.guest_with(name, "rbind:rw")
    }

    /// The same, with the options of the mount.
    pub fn guest_with(&self, name: &str, options: &str) -> Run<'a> {
        let source = if self.open { &self.folder } else { &self.volume() };
        self.daemon.run(&self.wasi.file(name)).mount(source, DATA, options)
    }

    /// What the guest calls a path within the volume.
    pub fn at(&self, path: &str) -> String {
        if self.open { format!("{DATA}/volume/{path}") } else { format!("{DATA}/{path}") }
    }

    /// The same path as the guest `raw` takes it: below its `/`.
    pub fn raw_at(&self, path: &str) -> String {
        self.at(path).trim_start_matches('/').to_owned()
    }

    /// Runs the guest `raw` with these words: calls of WASI without a C library in between.
    pub fn raw(&self, words: &[&str]) -> Result<Verdict> {
        self.judge(&self.guest("raw").args(words.iter().copied()).outcome()?)
    }

    /// Runs the guest `files` with these words.
    pub fn files(&self, words: &[&str]) -> Result<Verdict> {
        self.judge(&self.guest("files").args(words.iter().copied()).outcome()?)
    }

    /// An escape if the guest printed the secret or touched the canary. A run that could not begin is neither.
    pub fn judge(&self, outcome: &Outcome) -> Result<Verdict> {
        ensure!(!outcome.stderr.contains("failed to create shim task"), "the guest did not run: {outcome}");
        ensure!(outcome.code != 139, "the host crashed: {outcome}");
        let touched = self.touched()?;
        Ok(match (outcome.stdout.contains(&self.secret) || outcome.stderr.contains(&self.secret), touched) {
            (true, _) => Verdict::Escaped("the canary's secret".to_owned()),
            (false, Some(change)) => Verdict::Escaped(change),
            (false, None) => Verdict::Stopped(outcome.stdout.trim_end().to_owned()),
        })
    }

    /// What became of the canary, if anything did.
    fn touched(&self) -> Result<Option<String>> {
        let content = fs::read_to_string(self.canary());
        if !content.as_ref().is_ok_and(|text| *text == self.secret) {
            return Ok(Some(format!("at the canary: {content:?}")));
        }
        let names = fs::read_dir(self.outside())?.filter_map(Result::ok).map(|entry| entry.file_name());
        let names: Vec<_> = names.filter(|name| name != NOT_COUNTED).collect();
        if names.len() != 1 {
            return Ok(Some(format!("into the canary's folder: {} files", names.len())));
        }
        Ok(None)
    }

    /// Makes a symlink in the volume.
    pub fn link(&self, name: &str, target: impl AsRef<Path>) -> Result<()> {
        Ok(std::os::unix::fs::symlink(target, self.volume().join(name))?)
    }
}
