//! Obtains every component: builds it, reads it, or pulls it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use image::Digest;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::build::{Event, Teller};
use super::command;
use super::file::{Component, Origin, Project};
use super::lock::{Lock, Locked, Pin};
use super::source::Source;
use crate::wasm;

/// A component's Wasm, and what the lock holds of it.
#[derive(Debug, Clone)]
pub struct Obtained {
    pub bytes: Vec<u8>,
    pub locked: Locked,
}

/// Carries out all build commands, side by side and not more at once than this machine has processors.
pub async fn build(project: &Project, folder: &Path, created: u64, tell: &Teller) -> Result<()> {
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let turns = Arc::new(Semaphore::new(at_once));
    let mut builds = JoinSet::new();
    for (name, component) in &project.components {
        let Origin::Build { command, .. } = &component.from else { continue };
        let (name, command, turns, tell) = (name.clone(), command.clone(), turns.clone(), tell.clone());
        let folder = folder.join(&component.dir);
        builds.spawn(async move {
            let _turn = turns.acquire_owned().await?;
            tell.event(&Event::Building { component: name.clone() });
            let start = Instant::now();
            match command::run(&command, &folder, created).await {
                Ok(()) => {
                    let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tell.event(&Event::Built { component: name, milliseconds });
                    Ok(())
                }
                Err(failure) => {
                    tell.event(&Event::Failed { component: name.clone(), output: failure.output });
                    Err(failure.error.context(format!("component «{name}» was not built")))
                }
            }
        });
    }
    // Who fails first ends the others: the set is dropped with its commands.
    while let Some(built) = builds.join_next().await {
        built.context("a build was lost")??;
    }
    Ok(())
}

/// Reads and pulls, after [`build`]. Of what is in a registry, `lock` decides the version where it can.
pub async fn read(
    project: &Project,
    folder: &Path,
    lock: Option<&Lock>,
    source: &dyn Source,
    tell: &Teller,
) -> Result<BTreeMap<String, Obtained>> {
    let mut obtained = BTreeMap::new();
    for (name, component) in &project.components {
        let locked = lock.and_then(|lock| lock.components.get(name));
        let found = match &component.from {
            Origin::Path(path) | Origin::Build { output: path, .. } => {
                let bytes = wasm::read(&folder.join(&component.dir).join(path))?;
                Obtained { locked: Locked { digest: Digest::of(&bytes), pin: None }, bytes }
            }
            Origin::Registry { .. } => pulled(name, component, locked, source, tell).await?,
        };
        obtained.insert(name.clone(), found);
    }
    Ok(obtained)
}

/// A component of a registry.
pub async fn pulled(
    name: &str,
    component: &Component,
    locked: Option<&Locked>,
    source: &dyn Source,
    tell: &Teller,
) -> Result<Obtained> {
    let Origin::Registry { repository, wanted } = &component.from else {
        bail!("«{name}» is in no registry")
    };
    let context = || format!("component «{name}»");
    let pin = locked.and_then(|locked| locked.pin.as_ref());
    let pin = match pin.filter(|pin| pin.repository == *repository && wanted.matches(&pin.version)) {
        Some(pin) => pin.clone(),
        None => {
            tell.event(&Event::Resolving { component: name.into(), repository: repository.clone() });
            let (version, manifest) = source.resolve(repository, wanted).await.with_context(context)?;
            Pin { repository: repository.clone(), version, manifest }
        }
    };
    tell.event(&Event::Pulling { component: name.into(), version: pin.version.to_string() });
    let bytes = source.fetch(repository, &pin.manifest).await.with_context(context)?;
    Ok(Obtained { locked: Locked { digest: Digest::of(&bytes), pin: Some(pin) }, bytes })
}
