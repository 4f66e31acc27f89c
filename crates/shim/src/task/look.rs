//! What containerd says about a container's image. It is asked when the container is created, or sooner, where somebody knows
//! that it will be.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use grants::{ContainerType, identity};
use tokio::task::JoinHandle;

use super::bundle::Bundle;
use super::container::lock;
use crate::containerd::{Containerd, Origin, Registry};
use crate::signatures::Candidate;
use crate::wasm::{ImageFacts, facts};

/// How long an answer is as good as a fresh one.
const FRESH: Duration = Duration::from_secs(10);

/// What containerd says.
pub(super) struct Look {
    pub containerd: Option<Arc<Containerd>>,
    /// Its image and what that says, where it was made from one.
    image: Option<(Origin, ImageFacts)>,
}

impl Look {
    /// Asks. `asked_for` is the image's name in the pod, where the container's spec says it.
    pub async fn up(registry: &Registry, namespace: &str, id: &str, asked_for: Option<&str>) -> Result<Look> {
        let Some(containerd) = registry.of(namespace).await? else {
            return Ok(Look { containerd: None, image: None });
        };
        let origin = containerd.origin_of(id).await?;
        let image = match origin {
            Some(origin) => {
                // containerd 1.7 puts into the spec whichever name it knows the image's config by.
                let asked_for = origin.asked_for.as_deref().or(asked_for);
                let facts = facts(&containerd, &origin.image, asked_for, origin.made_of.as_ref()).await?;
                Some((origin, facts))
            }
            None => None,
        };
        Ok(Look { containerd: Some(containerd), image })
    }

    /// The name of its image.
    pub fn image(&self) -> Option<&str> {
        self.image.as_ref().map(|(origin, _)| origin.image.name.as_str())
    }

    pub fn facts(&self) -> Option<&ImageFacts> {
        self.image.as_ref().map(|(_, facts)| facts)
    }

    /// The image that has to be signed, where the policy says so.
    pub fn candidate(&self) -> Option<Candidate<'_>> {
        let (origin, facts) = self.image.as_ref()?;
        Some(Candidate { containerd: self.containerd.as_ref()?, origin, content: &facts.content })
    }
}

/// Looks that were begun for containers that are not created yet, by their namespaces and ids.
#[derive(Default)]
pub struct Looks(Mutex<HashMap<(String, String), Early>>);

struct Early {
    begun: Instant,
    look: JoinHandle<Result<Look>>,
}

impl Looks {
    /// Begins one for the container of this bundle. Whatever goes wrong here goes wrong again for whoever creates it, and is
    /// told there.
    pub fn begin(&self, registry: &Arc<Registry>, namespace: &str, id: &str, bundle: &Path) {
        let Ok(bundle) = Bundle::read(bundle) else { return };
        // A sandbox has an image that nobody runs.
        if identity::container_type(bundle.spec()) == ContainerType::Sandbox {
            return;
        }
        let asked_for = identity::image_name(bundle.spec()).map(str::to_owned);
        let (registry, key) = (registry.clone(), (namespace.to_owned(), id.to_owned()));
        let (of, container) = key.clone();
        let look = async move { Look::up(&registry, &of, &container, asked_for.as_deref()).await };
        let early = Early { begun: Instant::now(), look: tokio::spawn(look) };
        let mut looks = lock(&self.0);
        // Those of containers that were never created.
        looks.retain(|_, early| early.begun.elapsed() < FRESH);
        looks.insert(key, early);
    }

    /// What was found out about a container, if that was begun not long ago and came to something.
    pub(super) async fn take(&self, namespace: &str, id: &str) -> Option<Look> {
        let early = lock(&self.0).remove(&(namespace.to_owned(), id.to_owned()))?;
        if early.begun.elapsed() >= FRESH {
            return None;
        }
        early.look.await.ok()?.ok()
    }
}
