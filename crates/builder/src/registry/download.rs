//! Getting blobs: whole and verified, or not at all.

use bytes::Bytes;
use http::header::{CONTENT_RANGE, RANGE};
use http::{Method, StatusCode};
use image::{Descriptor, ImageError};
use reqwest::Response;

use super::client::{Access, Call, Client};
use super::error::{RegistryError, tame};
use super::progress::{Action, Event, How};
use super::retry::Fault;
use super::store::{Draft, Store};
use crate::reference::Repository;

/// The largest blob that is fetched, in bytes.
pub const MAX_BLOB: u64 = 4 << 30;

/// An attempt that brings as much as this has not failed: the next ones count anew. In bytes.
const PROGRESS: u64 = 1 << 20;

impl Client {
    /// Brings a blob into the store, when it is not there.
    ///
    /// # Errors
    /// A sentence that names the registry and the blob. The store is as before.
    pub async fn blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        store: &Store,
    ) -> Result<(), RegistryError> {
        let (action, digest, size) = (Action::Pull, blob.digest, blob.size);
        let what = format!("the blob {digest} of {repository}");
        if size > MAX_BLOB {
            let error = ImageError::TooLarge { what: "the blob", digest, size, limit: MAX_BLOB };
            return Err(RegistryError::of_image(what)(error));
        }
        if store.holds(blob)? {
            self.teller().tell(Event::Finished { action, digest, size, how: How::Present });
            return Ok(());
        }
        self.teller().tell(Event::Started { action, digest, size });
        let mut draft = store.draft()?;
        let url = self.url(repository, &format!("blobs/{digest}"))?;
        let call = Call::new(repository, Access::Pull, Method::GET, url, what.clone());
        let mut attempts = self.attempts(repository, what.clone());
        let mut furthest = 0;
        loop {
            match self.rest(&call, blob, &mut draft).await {
                Ok(()) => break,
                Err(fault) => {
                    if draft.size() >= furthest + PROGRESS {
                        furthest = draft.size();
                        attempts.progressed();
                    }
                    attempts.after(fault).await?;
                }
            }
        }
        draft.finish(
            digest,
            size,
            &format!("{} sends another content than {what}", repository.registry()),
        )?;
        self.teller().tell(Event::Finished { action, digest, size, how: How::Transferred });
        Ok(())
    }

    /// The bytes of a small blob, verified. `limit`: the most bytes it may have.
    ///
    /// # Errors
    /// A sentence that names the registry and the blob.
    pub(crate) async fn small_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, RegistryError> {
        let (digest, size) = (blob.digest, blob.size);
        let what = format!("the blob {digest} of {repository}");
        if size > limit {
            let error = ImageError::TooLarge { what: "the blob", digest, size, limit };
            return Err(RegistryError::of_image(what)(error));
        }
        let url = self.url(repository, &format!("blobs/{digest}"))?;
        let call = Call::new(repository, Access::Pull, Method::GET, url, what.clone());
        let found = self.fetch(&call, limit).await?;
        let (_, bytes) = found.ok_or_else(|| RegistryError::NotFound {
            registry: repository.registry().into(),
            what: what.clone(),
        })?;
        blob.verify(&bytes).map_err(RegistryError::of_image(what))?;
        Ok(bytes)
    }

    /// One attempt at what the draft still lacks.
    async fn rest(&self, call: &Call<'_>, blob: &Descriptor, draft: &mut Draft) -> Result<(), Fault> {
        if draft.size() == blob.size && blob.size > 0 {
            return Ok(());
        }
        let mut call = call.clone();
        if draft.size() > 0 {
            call = call.header(RANGE, &format!("bytes={}-", draft.size()))?;
        }
        let response = self.once(&call).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if continues(&response, draft.size(), blob.size) => {}
            // Whoever knows no ranges, or another range than was asked for, begins anew.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                draft.restart()?;
                return Err(Fault::Lost("it does not go on where the connection broke".into()));
            }
            StatusCode::OK => draft.restart()?,
            StatusCode::NOT_FOUND => {
                let registry = call.repository.registry().to_owned();
                return Err(RegistryError::NotFound { registry, what: call.what }.into());
            }
            _ => return Err(self.unexpected(&call, response).await.into()),
        }
        let hostile = |why: String| RegistryError::Hostile {
            registry: call.repository.registry().into(),
            what: call.what.clone(),
            why,
        };
        let missing = blob.size - draft.size();
        if let Some(length) = response.content_length().filter(|length| *length != missing) {
            return Err(
                hostile(format!("it announces {length} bytes where the manifest says {missing}")).into()
            );
        }
        let (action, digest, size) = (Action::Pull, blob.digest, blob.size);
        let mut reader = self.reader(response);
        while let Some(piece) = reader.next().await? {
            if piece.len() as u64 > size - draft.size() {
                return Err(
                    hostile(format!("it sends more than the {size} bytes that the manifest says")).into()
                );
            }
            draft.write(&piece)?;
            self.teller().tell(Event::Advanced { action, digest, done: draft.size(), size });
        }
        // An end without a length is how a proxy passes a broken connection on.
        if draft.size() < size {
            return Err(Fault::Lost(format!("{} of {size} bytes came", draft.size())));
        }
        Ok(())
    }
}

/// Whether a 206 begins where the draft ends, and is of the same whole.
fn continues(response: &Response, at: u64, size: u64) -> bool {
    let range =
        response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    is_range(range, at, size)
}

/// `bytes 100-199/200`, where the whole may be `*` (RFC 9110, 14.4).
fn is_range(text: &str, at: u64, size: u64) -> bool {
    let read = || {
        let (range, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let whole = if whole == "*" { size } else { whole.parse().ok()? };
        Some((first.parse().ok()?, last.parse().ok()?, whole))
    };
    read().is_some_and(|(first, last, whole): (u64, u64, u64)| {
        first == at && last.checked_add(1) == Some(size) && whole == size
    })
}

/// A digest as the registry names it in `Docker-Content-Digest`.
pub(super) fn announced(headers: &http::HeaderMap) -> Option<Result<image::Digest, String>> {
    let text = headers.get("docker-content-digest")?.to_str().unwrap_or_default();
    Some(text.parse().map_err(|_| tame(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_range_that_is_missing_goes_on() {
        assert!(is_range("bytes 100-199/200", 100, 200));
        assert!(is_range("bytes 100-199/*", 100, 200));
        for wrong in [
            "",
            "bytes 0-199/200",
            "bytes 100-198/200",
            "bytes 100-199/300",
            "bytes */200",
            "bytes 100-18446744073709551615/*",
        ] {
            assert!(!is_range(wrong, 100, 200), "{wrong}");
        }
    }
}
