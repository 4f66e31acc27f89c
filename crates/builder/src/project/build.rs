//! The whole of a build.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use image::Digest;
use image::build::Layout;
use serde::Serialize;

use super::file::{Format, Project};
use super::lock::{self, LOCK_FILE, Lock};
use super::obtain::Obtained;
use super::source::Source;
use super::{PROJECT_FILE, obtain, output, pack, tools};
use crate::whole;

/// How a project is built.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Nothing may differ from the lock, and the lock stays as it is.
    pub locked: bool,
    /// The newest versions of dependencies instead of those in the lock.
    pub update: bool,
    /// In place of what `run.toml` says.
    pub format: Option<Format>,
    /// The image's time of creation, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub created: u64,
}

/// What happens during a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A component's build command has begun.
    Building { component: String },
    /// It is done.
    Built { component: String, milliseconds: u64 },
    /// It failed, and said this.
    Failed { component: String, output: String },
    /// A registry is asked for the versions of a component.
    Resolving { component: String, repository: String },
    /// A component is pulled.
    Pulling { component: String, version: String },
    /// All components fit together.
    Composed { components: usize, links: usize, bytes: u64 },
}

/// Who is told of events, from any thread.
#[derive(Clone)]
pub struct Teller(Arc<dyn Fn(&Event) + Send + Sync>);

impl Teller {
    pub fn new(told: Arc<dyn Fn(&Event) + Send + Sync>) -> Teller {
        Teller(told)
    }

    pub fn event(&self, event: &Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

/// An image that was built, in memory.
#[derive(Debug, Clone)]
pub struct Built {
    pub project: Project,
    pub layout: Layout,
    /// Its full name.
    pub tag: String,
    /// In seconds since 1970.
    pub created: u64,
    pub lock: Lock,
    /// What it was made of, by the names in `run.toml`.
    pub components: BTreeMap<String, Obtained>,
}

impl Built {
    /// The image's digest.
    pub fn digest(&self) -> Digest {
        self.layout.digest()
    }

    /// Writes the image.
    ///
    /// # Errors
    /// As [`output::Output::write`].
    pub fn write(&self, output: &output::Output) -> Result<()> {
        output.write(&self.layout, &self.tag, self.created)
    }
}

/// Builds the project in `folder`, and writes its lock when all of it has succeeded.
///
/// # Errors
/// A chain of sentences that names the file, component or key and the cure.
pub async fn build(
    folder: &Path,
    source: &dyn Source,
    options: &Options,
    progress: impl Fn(&Event) + Send + Sync + 'static,
) -> Result<Built> {
    let tell = Teller::new(Arc::new(progress));
    let project = Project::read(&folder.join(PROJECT_FILE))?;
    let lock_path = folder.join(LOCK_FILE);
    let old = Lock::read(&lock_path)?;
    let mut new = Lock::new(&project, tools::versions(&project).await?)?;
    let held = options.locked.then_some(old.as_ref()).map(|old| {
        old.with_context(|| {
            format!("there is no {}: build once without --locked, and keep it", lock_path.display())
        })
    });
    let held = held.transpose()?;
    if let Some(old) = held {
        lock::refuse(&old.changes_before(&new))?;
    }
    obtain::build(&project, folder, options.created, &tell).await?;
    let pins = old.as_ref().filter(|_| !options.update || options.locked);
    let components = obtain::read(&project, folder, pins, source, &tell).await?;
    new.components = components.iter().map(|(name, part)| (name.clone(), part.locked.clone())).collect();
    if let Some(old) = held {
        lock::refuse(&old.changes_in_components(&new))?;
    }
    let format = options.format.unwrap_or(project.output.format);
    let layout = pack::pack(&project, &components, format, &tell)?.created(options.created).build()?;
    let tag = project.tag();
    // A name that no image can have is found before anything is written.
    layout.files(&tag)?;
    if old.as_ref() != Some(&new) {
        whole::write(&lock_path, new.text()?.as_bytes())?;
    }
    Ok(Built { project, layout, tag, created: options.created, lock: new, components })
}
