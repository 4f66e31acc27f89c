//! Looking for signatures: first among the images that containerd has, then, by containerd, in the registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use image::signature::{Fault, MAX_PAYLOAD, signatures, tag, verify_any};
use image::{Digest, Document, manifest};
use tokio::task::JoinSet;

use super::Question;
use super::keys::Keys;
use crate::containerd::Containerd;

/// How long registries are waited for. A kubelet waits two minutes for a container.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one of them is. One that is dead leaves time for the others.
const PATIENCE_WITH_ONE: Duration = Duration::from_secs(15);

/// How many places are asked at once.
const MOST_AT_ONCE: usize = 16;

/// The most signatures of an image that are looked at.
const MOST_SIGNATURES: usize = 256;

/// Finds a signature that answers the question.
///
/// # Errors
/// A sentence that names an image, its digest and the cure.
pub async fn find(
    containerd: &Arc<Containerd>,
    hosts: &Path,
    question: &Question,
    keys: &Keys,
) -> Result<(), String> {
    let mut search = Search { containerd, keys, worst: None, trouble: None };
    for place in question.places() {
        if search.holds(&place).await {
            return Ok(());
        }
    }
    // What is stored may be older than what was signed since.
    let pulling = async {
        let mut places = question.places();
        // Whoever is asked still when an answer is found is asked no more.
        let mut pulls = JoinSet::new();
        loop {
            while pulls.len() < MOST_AT_ONCE
                && let Some(place) = places.next()
            {
                pulls.spawn(pull(containerd.clone(), hosts.to_owned(), place));
            }
            match pulls.join_next().await {
                None => return false,
                Some(Ok((place, Ok(is_there)))) => {
                    if is_there && search.holds(&place).await {
                        return true;
                    }
                }
                Some(Ok((place, Err(error)))) => {
                    search.stumble(format!("{} cannot be pulled ({error:#})", place.name));
                }
                Some(Err(error)) => search.stumble(format!("asking a registry broke off ({error})")),
            }
        }
    };
    match tokio::time::timeout(PATIENCE, pulling).await {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(_) => search.stumble(format!("no answer came within {} s", PATIENCE.as_secs())),
    }
    Err(search.sentence(question))
}

/// Has containerd fetch what is at a place. Answers whether there is something.
async fn pull(containerd: Arc<Containerd>, hosts: PathBuf, place: Place) -> (Place, Result<bool>) {
    let pulled = tokio::time::timeout(PATIENCE_WITH_ONE, containerd.pull(&place.name, &hosts)).await;
    let silent = || anyhow!("no answer came within {} s", PATIENCE_WITH_ONE.as_secs());
    let pulled = pulled.unwrap_or_else(|_| Err(silent()));
    (place, pulled)
}

/// Where the signatures of an image may be.
struct Place {
    image: Digest,
    repository: String,
    name: String,
}

impl Question {
    fn places(&self) -> impl Iterator<Item = Place> {
        self.repositories.iter().flat_map(|repository| {
            self.digests.iter().map(move |image| {
                let name = format!("{repository}:{}", tag(image));
                Place { image: *image, repository: repository.clone(), name }
            })
        })
    }
}

struct Search<'a> {
    containerd: &'a Containerd,
    keys: &'a Keys,
    /// The gravest fault of those that were found, and the image that has it.
    worst: Option<(Fault, String)>,
    /// The first thing that stood in the way.
    trouble: Option<String>,
}

impl Search<'_> {
    /// Whether what containerd has at `place` is a signature that counts.
    async fn holds(&mut self, place: &Place) -> bool {
        let signed = match self.stored(&place.name).await {
            Ok(signed) => signed,
            Err(error) => {
                self.stumble(format!("{} cannot be read ({error:#})", place.name));
                return false;
            }
        };
        for key in self.keys.iter() {
            let signed = signed.iter().map(|(payload, signature)| (payload.as_slice(), signature.as_str()));
            match verify_any(signed, key, &place.image) {
                Ok(statement) => {
                    let (image, by) = (place.image, key.fingerprint());
                    tracing::info!(%image, %by, signed_in = statement.repository.escape_debug().to_string(), "signed");
                    return true;
                }
                Err(fault) if self.worst.as_ref().is_none_or(|(worst, _)| *worst < fault) => {
                    self.worst = Some((fault, format!("{}@{}", place.repository, place.image)));
                }
                Err(_) => {}
            }
        }
        false
    }

    /// The payloads, each with its signature, that containerd has under a name.
    async fn stored(&self, name: &str) -> Result<Vec<(Vec<u8>, String)>> {
        let Some(image) = self.containerd.image_if_any(name).await? else { return Ok(Vec::new()) };
        let bytes = self.containerd.document(&image.target).await?;
        let Document::Manifest(manifest) = manifest::parse(&bytes, &image.target.media_type)? else {
            bail!("it is an index, and signatures are a manifest");
        };
        let mut signed = Vec::new();
        for (layer, signature) in signatures(&manifest).take(MOST_SIGNATURES) {
            // What is too large is no statement about an image.
            if layer.size <= MAX_PAYLOAD {
                signed.push((self.containerd.document(layer).await?, signature.to_owned()));
            }
        }
        Ok(signed)
    }

    fn stumble(&mut self, why: String) {
        self.trouble.get_or_insert(why);
    }

    fn sentence(self, question: &Question) -> String {
        let keys = self.keys.names();
        match (self.worst, self.trouble) {
            // A signature that was found and does not hold says more than one that was not found.
            (Some((fault, image)), trouble) if fault != Fault::Unsigned || trouble.is_none() => {
                fault.sentence(&image, &keys)
            }
            (_, Some(trouble)) => format!(
                "whether {} is signed by {keys} cannot be found out: {trouble}; have containerd reach the registry, or \
                 import the signatures into it",
                question.image()
            ),
            (_, None) => format!(
                "{} has no name that says which registry has its signatures: name the image in full in the pod",
                question.image()
            ),
        }
    }
}

impl Question {
    /// The image, as people would name it.
    fn image(&self) -> String {
        match (self.repositories.first(), self.digests.first()) {
            (Some(repository), Some(digest)) => format!("{repository}@{digest}"),
            (None, Some(digest)) => format!("the image {digest}"),
            _ => "the image".to_owned(),
        }
    }
}
