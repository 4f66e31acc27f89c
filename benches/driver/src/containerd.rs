//! One private containerd, and `ctr`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Where containerd listens; `/run` is private to the measurement.
pub const ADDRESS: &str = "/run/containerd/containerd.sock";

/// containerd's namespace, as `ctr` reads it.
pub fn namespace() -> String {
    std::env::var("CONTAINERD_NAMESPACE").unwrap_or_else(|_| "default".to_owned())
}

/// How long containerd may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Containerd {
    child: Child,
    images: Vec<PathBuf>,
}

impl Containerd {
    /// Starts a containerd with its state in `folder` and waits until it answers.
    pub fn start(folder: &Path) -> Result<Containerd> {
        let root = folder.display();
        let config = folder.join("containerd.toml");
        fs::write(
            &config,
            format!(
                "version = 3\nroot = \"{root}/containerd\"\n\
                 disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\"]\n\
                 [plugins.'io.containerd.internal.v1.opt']\n  path = \"{root}/opt\"\n"
            ),
        )?;
        let log = folder.join("containerd.log");
        let output = File::create(&log)?;
        let child = Command::new("containerd")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start containerd")?;
        let mut containerd = Containerd { child, images: Vec::new() };
        let begin = Instant::now();
        while ctr(["version"]).is_err() {
            if begin.elapsed() > PATIENCE || containerd.child.try_wait()?.is_some() {
                bail!("containerd did not start:\n{}", fs::read_to_string(&log)?);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        containerd.images = images_in(&folder.join("images"))?;
        Ok(containerd)
    }

    /// Imports every image of a folder.
    pub fn import(&self, folder: &Path) -> Result<()> {
        images_in(folder)?.iter().try_for_each(|tar| import(tar))
    }

    /// Removes an image and whatever was derived from it, and imports it again.
    pub fn renew(&self, image: &str, program: &str) -> Result<()> {
        let tar = self.images.iter().find(|tar| tar.file_stem().is_some_and(|stem| stem == program));
        let tar = tar.with_context(|| format!("there is no {program}.tar"))?;
        let layers = layers(image)?;
        ctr(["images", "rm", "--sync", image])?;
        // What was compiled from a layer carries the layer's digest in a label.
        let content = ctr(["content", "ls"])?;
        let left = layers.iter().find(|layer| content.contains(layer.as_str()));
        ensure!(
            left.is_none(),
            "{left:?} of {image}, or what was compiled from it, stayed in containerd: {content}"
        );
        import(tar)
    }
}

/// The digests of an image's layers.
fn layers(image: &str) -> Result<Vec<String>> {
    let images = ctr(["images", "ls"])?;
    let line = images.lines().find(|line| line.split_whitespace().next() == Some(image));
    let digest = line.and_then(|line| line.split_whitespace().find(|word| word.starts_with("sha256:")));
    let digest = digest.with_context(|| format!("ctr images ls shows no {image}"))?;
    let manifest: serde_json::Value = serde_json::from_str(&ctr(["content", "get", digest])?)?;
    let layers = manifest.get("layers").and_then(|layers| layers.as_array()).into_iter().flatten();
    Ok(layers.filter_map(|layer| layer.get("digest")?.as_str().map(str::to_owned)).collect())
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // The end of the pid namespace ends whatever this misses.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn images_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn import(tar: &Path) -> Result<()> {
    ctr([Path::new("images").as_os_str(), "import".as_ref(), "--local".as_ref(), tar.as_os_str()]).map(drop)
}

/// Runs `ctr` and returns what it prints.
pub fn ctr<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Result<String> {
    let mut command = Command::new("ctr");
    let output = command.args(args).stdin(Stdio::null()).output().context("cannot run ctr")?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}
