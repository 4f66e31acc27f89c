//! Images that the node's policy wants signed: refused unless one of its keys has signed what runs.
//!
//! What was signed leads to what runs by digests alone: it is the manifest, or an index above it. Which rule an image is under is a
//! matter of names, and a name says nothing of content. So a signature counts whatever name it came by, and a container whose image
//! has no clear name is under the rules of all names that lead to it.

mod fetch;
mod keys;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use grants::signatures::{names_a_registry, repository, stored_name};
use grants::{Policy, SignatureRule};
use image::Digest;

use crate::containerd::{Containerd, ImageRef, Origin};
use crate::wasm::{Content, with_config};
use keys::Keys;

/// How long a refusal is repeated to whoever asks again, so that a crowd of containers is no crowd of pulls.
const REFUSED: Duration = Duration::from_secs(10);

/// A node has few images and fewer keys.
const MOST_ANSWERS: usize = 1024;

/// An image that a container is to be made of.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    pub containerd: &'a Arc<Containerd>,
    pub origin: &'a Origin,
    pub content: &'a Content,
}

/// What was found out about images, for as long as this process lives. What a key has signed stays signed.
#[derive(Default)]
pub struct Signatures(Mutex<HashMap<Question, Arc<Answer>>>);

/// Is one of these images signed by one of these keys?
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    /// Any of them will do.
    digests: Vec<Digest>,
    /// Where signatures may be.
    repositories: Vec<String>,
    /// The keys by their fingerprints.
    keys: Vec<Digest>,
}

/// Locked while somebody finds out.
type Answer = tokio::sync::Mutex<Option<Verdict>>;

enum Verdict {
    Signed,
    Refused { at: Instant, why: String },
}

impl Signatures {
    /// Refuses an image that the policy wants signed and that is not. `None`: nobody knows of an image. Answers whether any rule is
    /// about the image.
    ///
    /// # Errors
    /// One sentence that names the image, its digest, the rule and the cure.
    pub async fn require(&self, policy: &Policy, candidate: Option<Candidate<'_>>) -> Result<bool> {
        if policy.require_signature.is_empty() {
            return Ok(false);
        }
        let Some(candidate) = candidate else {
            return match policy.signature_rule("") {
                None => Ok(false),
                Some(_) => bail!(
                    "require-signature «» of the node config is about all images, and this container has none that \
                     containerd knows: run it of a signed image"
                ),
            };
        };
        let namesakes = candidate.namesakes().await?;
        let names = candidate.names(&namesakes);
        let mut rules: Vec<&SignatureRule> = Vec::new();
        for rule in names.iter().copied().filter_map(|name| policy.signature_rule(name)) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        if rules.is_empty() {
            return Ok(false);
        }
        candidate.is_of_its_files()?;
        let digests = candidate.digests(&namesakes).await?;
        let mut repositories: Vec<String> = names.iter().copied().filter_map(repository).collect();
        // Those that a rule is about come first: whoever copies an image elsewhere does not keep its signatures from being found.
        repositories.sort_by_cached_key(|name| (policy.signature_rule(name).is_none(), name.clone()));
        repositories.dedup();
        for rule in rules {
            let keys = Keys::read(&rule.keys)?;
            let question = Question {
                digests: digests.clone(),
                repositories: repositories.clone(),
                keys: keys.fingerprints(),
            };
            self.answer(candidate.containerd, policy, question, &keys).await.map_err(|why| {
                anyhow!("require-signature «{}» of the node config: {why}", rule.prefix.escape_debug())
            })?;
        }
        Ok(true)
    }

    /// Answers once for all who ask at the same time.
    async fn answer(
        &self,
        containerd: &Arc<Containerd>,
        policy: &Policy,
        question: Question,
        keys: &Keys,
    ) -> Result<(), String> {
        let answer = self.slot(&question);
        let mut answer = answer.lock().await;
        match &*answer {
            Some(Verdict::Signed) => return Ok(()),
            Some(Verdict::Refused { at, why }) if at.elapsed() < REFUSED => return Err(why.clone()),
            _ => {}
        }
        let found = fetch::find(containerd, &policy.registry_hosts, &question, keys).await;
        *answer = Some(match &found {
            Ok(()) => Verdict::Signed,
            Err(why) => Verdict::Refused { at: Instant::now(), why: why.clone() },
        });
        found
    }

    fn slot(&self, question: &Question) -> Arc<Answer> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(question) {
            return answer.clone();
        }
        if answers.len() >= MOST_ANSWERS {
            answers.clear();
        }
        answers.entry(question.clone()).or_default().clone()
    }
}

impl Candidate<'_> {
    /// Refuses a container whose root file system is another image's than the one that its image's name leads to by now: a
    /// signature of that one says nothing of these files.
    fn is_of_its_files(&self) -> Result<()> {
        match &self.origin.made_of {
            Some(config) if self.content.has_files && *config != self.content.config => bail!(
                "the container was made of another image, whose config is {config}, than its name {} leads to: create it anew",
                self.origin.image.name
            ),
            _ => Ok(()),
        }
    }

    /// Where nothing says clearly what the pod calls the image, all images of the same content. The name that containerd has given
    /// the container is none of the pod's: of several with one config, it is the first by the alphabet.
    async fn namesakes(&self) -> Result<Vec<ImageRef>> {
        if self.clear_name().is_some() {
            return Ok(Vec::new());
        }
        let config = &self.content.config;
        let mut judged: HashMap<Digest, bool> = HashMap::new();
        let mut namesakes = Vec::new();
        for image in self.containerd.images().await? {
            let is_one = match judged.get(&image.target.digest) {
                Some(is_one) => *is_one,
                None => {
                    let found = with_config(self.containerd, &image.target, config).await?;
                    // To CRI, images with one config are one.
                    found.is_some_and(|found| {
                        self.origin.made_of.is_some() || self.content.is_of(&found.manifest)
                    })
                }
            };
            judged.insert(image.target.digest, is_one);
            if is_one {
                namesakes.push(image);
            }
        }
        Ok(namesakes)
    }

    /// The name that the pod gave the image, where that says where it is from; else all that it has.
    fn names<'a>(&'a self, namesakes: &'a [ImageRef]) -> Vec<&'a str> {
        match self.clear_name() {
            Some(name) => vec![name],
            None => namesakes.iter().chain([&self.origin.image]).map(|image| image.name.as_str()).collect(),
        }
    }

    fn clear_name(&self) -> Option<&str> {
        self.origin.asked_for.as_deref().filter(|name| names_a_registry(name))
    }

    /// The digests that lead to what runs, by the name that the pod gave the image or by all that it has, and by the one that
    /// containerd gave the container.
    async fn digests(&self, namesakes: &[ImageRef]) -> Result<Vec<Digest>> {
        let mut digests = Vec::new();
        if let Some(name) = self.clear_name().and_then(stored_name)
            && let Some(image) = self.containerd.image_if_any(&name).await?
        {
            self.add(&image, &mut digests).await?;
        }
        for image in namesakes.iter().chain([&self.origin.image]) {
            self.add(image, &mut digests).await?;
        }
        // What runs, in any case: of an image that two names lead to, it may be neither's.
        add(self.content.manifest, &mut digests);
        Ok(digests)
    }

    /// Adds those of an image, if it is of the content that runs.
    async fn add(&self, image: &ImageRef, digests: &mut Vec<Digest>) -> Result<()> {
        if let Some(lineage) = with_config(self.containerd, &image.target, &self.content.config).await?
            && self.content.is_of(&lineage.manifest)
        {
            lineage.digests.into_iter().for_each(|digest| add(digest, digests));
        }
        Ok(())
    }
}

fn add(digest: Digest, digests: &mut Vec<Digest>) {
    if !digests.contains(&digest) {
        digests.push(digest);
    }
}
