//! Tags of a repository: listing, resolving, publishing.

use std::collections::BTreeSet;

use http::header::LINK;
use http::{HeaderMap, Method};
use image::Digest;
use reqwest::Url;
use semver::{Version, VersionReq};
use serde::Deserialize;

use super::client::{Access, Call, Client};
use super::error::{RegistryError, tame};
use super::push::{Plan, document_type};
use super::source::Source;
use crate::reference::Repository;
use crate::versions::{Tagged, best, moved_tags, versions};

/// The largest page of a list that is read, in bytes; the most pages; the most tags.
const MAX_PAGE: u64 = 4 << 20;
const MAX_PAGES: usize = 1000;
const MAX_TAGS: usize = 100_000;

/// What a requirement leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    pub version: Version,
    /// The tag that says so.
    pub tag: String,
    pub digest: Digest,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub digest: Digest,
    /// The exact version first, then those that moved.
    pub tags: Vec<String>,
    /// Whether the exact version was there already, with the same digest.
    pub was_there: bool,
}

impl Client {
    /// All tags of a repository, as the registry orders them.
    ///
    /// # Errors
    /// A sentence; [`RegistryError::NotFound`] when there is no such repository.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        self.tags_if_any(repository).await?.ok_or_else(|| RegistryError::NotFound {
            registry: repository.registry().into(),
            what: format!("the repository {repository}"),
        })
    }

    async fn tags_if_any(&self, repository: &Repository) -> Result<Option<Vec<String>>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let what = format!("the tags of {repository}");
        let hostile = |why: String| RegistryError::Hostile {
            registry: repository.registry().into(),
            what: what.clone(),
            why,
        };
        let mut url = self.url(repository, "tags/list")?;
        let mut seen = BTreeSet::new();
        let mut tags = Vec::new();
        loop {
            if !seen.insert(url.to_string()) || seen.len() > MAX_PAGES || tags.len() > MAX_TAGS {
                return Err(hostile("its list of tags does not end".into()));
            }
            let call = Call::new(repository, Access::Pull, Method::GET, url.clone(), what.clone());
            let Some((headers, bytes)) = self.fetch(&call, MAX_PAGE).await? else {
                return Ok(None);
            };
            let page: Page = serde_json::from_slice(&bytes)
                .map_err(|error| hostile(format!("its list is no list: {error}")))?;
            tags.extend(page.tags.unwrap_or_default().iter().map(|tag| tame(tag)));
            match next_page(&headers, &url) {
                None => return Ok(Some(tags)),
                Some(next) => {
                    url = next.map_err(|to| hostile(format!("its list goes on at «{to}», another host")))?
                }
            }
        }
    }

    /// The newest version of a repository that satisfies the requirement.
    ///
    /// # Errors
    /// [`RegistryError::NoVersion`] with the versions that there are; a sentence of anything else.
    pub async fn resolve(
        &self,
        repository: &Repository,
        requirement: &VersionReq,
    ) -> Result<Resolved, RegistryError> {
        let present = versions(self.tags(repository).await?);
        let shown: Vec<String> = present.iter().take(10).map(|found| found.version.to_string()).collect();
        let Some(Tagged { version, tag }) = best(present, requirement) else {
            return Err(RegistryError::NoVersion {
                repository: repository.to_string(),
                requirement: requirement.to_string(),
                found: if shown.is_empty() { "tags that are no versions".into() } else { shown.join(", ") },
            });
        };
        let reference = repository.tagged(&tag)?;
        let digest = self.digest_of(&reference).await?.ok_or_else(|| RegistryError::NotFound {
            registry: repository.registry().into(),
            what: reference.to_string(),
        })?;
        Ok(Resolved { version, tag, digest })
    }

    /// Publishes an image as a version: its exact tag, which is never changed again, then the tags that it moves
    /// ([`moved_tags`]).
    ///
    /// # Errors
    /// [`RegistryError::Exists`] when the version is there with another digest; a sentence of anything else.
    pub async fn publish(
        &self,
        source: &Source,
        repository: &Repository,
        version: &Version,
        mount: &[String],
    ) -> Result<Published, RegistryError> {
        if !version.build.is_empty() {
            return Err(RegistryError::Refused(format!(
                "{version} cannot be published: a tag holds no build metadata, leave out «+{}»",
                version.build
            )));
        }
        let exact = repository.tagged(&version.to_string())?;
        let plan = Plan::of(source)?;
        let (root, bytes) = plan.root()?;
        let ours = root.digest;
        let was_there = match self.digest_of(&exact).await? {
            None => false,
            Some(present) if present == ours => true,
            Some(present) => {
                return Err(RegistryError::Exists { reference: exact.to_string(), present, ours });
            }
        };
        if !was_there {
            self.push_content(source, &plan, repository, mount).await?;
            self.put_manifest(&exact, document_type(root), bytes.clone()).await?;
            // No registry can be told «only if absent»: of two who publish at once, the one who lost hears of it.
            if let Some(present) = self.digest_of(&exact).await?.filter(|present| *present != ours) {
                return Err(RegistryError::Exists { reference: exact.to_string(), present, ours });
            }
        }
        let present = versions(self.tags(repository).await?);
        let mut tags = vec![version.to_string()];
        for tag in moved_tags(version, &present) {
            let reference = repository.tagged(&tag)?;
            if self.digest_of(&reference).await? != Some(ours) {
                self.put_manifest(&reference, document_type(root), bytes.clone()).await?;
            }
            tags.push(tag);
        }
        Ok(Published { digest: ours, tags, was_there })
    }
}

/// The page that `Link: <…>; rel="next"` names (RFC 8288). Another host's is refused, with what it is.
pub(super) fn next_page(headers: &HeaderMap, here: &Url) -> Option<Result<Url, String>> {
    let text = headers.get(LINK)?.to_str().ok()?;
    let (to, parameters) = text.trim().strip_prefix('<')?.split_once('>')?;
    if !parameters.contains("next") {
        return None;
    }
    Some(here.join(to).ok().filter(|url| url.origin() == here.origin()).ok_or_else(|| tame(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_of_the_same_host() {
        let here = Url::parse("https://registry.example/v2/a/tags/list").unwrap();
        let next = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, value.parse().unwrap());
            next_page(&headers, &here).map(|url| url.map(|url| url.to_string()))
        };
        let expected = Some(Ok("https://registry.example/v2/a/tags/list?last=x&n=2".into()));
        assert_eq!(next(r#"</v2/a/tags/list?last=x&n=2>; rel="next""#), expected);
        assert!(matches!(next(r#"<http://other.example/>; rel="next""#), Some(Err(_))));
        assert_eq!(next(r#"</x>; rel="prev""#), None);
        assert_eq!(next_page(&HeaderMap::new(), &here), None);
    }
}
