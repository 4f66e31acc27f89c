//! Sending blobs: only those that the registry lacks, and on from where a broken upload was.

use http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{Method, StatusCode};
use image::{Descriptor, Digest};
use reqwest::{Response, Url};

use super::client::{Access, Call, Client};
use super::error::RegistryError;
use super::progress::{Action, Event, How};
use super::retry::Fault;
use super::source::Source;
use crate::reference::Repository;

/// An upload that the registry has begun to take.
#[derive(Debug, Clone)]
struct Session {
    url: Url,
    /// How many bytes the registry has.
    at: u64,
    /// The size of pieces, in bytes: ours, or what the registry wants at least.
    piece: usize,
}

/// One blob on its way.
#[derive(Debug)]
struct Upload<'a> {
    client: &'a Client,
    repository: &'a Repository,
    source: &'a Source,
    blob: &'a Descriptor,
    what: String,
    session: Option<Session>,
    /// Whether the registry may have what it did not confirm.
    unsure: bool,
}

impl Client {
    /// Whether a repository has a blob.
    ///
    /// # Errors
    /// A sentence.
    pub async fn has_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool, RegistryError> {
        let what = format!("the blob {digest} of {repository}");
        let url = self.url(repository, &format!("blobs/{digest}"))?;
        let call = Call::new(repository, Access::Push, Method::HEAD, url, what);
        let response = self.send(&call).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.unexpected(&call, response).await),
        }
    }

    /// Sends a small blob that the repository lacks, and answers its descriptor.
    ///
    /// # Errors
    /// A sentence that names the registry and the blob.
    pub(crate) async fn put_bytes(
        &self,
        repository: &Repository,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<Descriptor, RegistryError> {
        let blob = Descriptor {
            media_type: media_type.into(),
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            annotations: Default::default(),
        };
        self.put_blob(repository, &Source::bytes(&blob, bytes), &blob, &[]).await?;
        Ok(blob)
    }

    /// Sends a blob that the repository lacks. `mount`: repositories of the same registry that may have it, by their paths.
    ///
    /// # Errors
    /// A sentence that names the registry and the blob.
    pub(super) async fn put_blob(
        &self,
        repository: &Repository,
        source: &Source,
        blob: &Descriptor,
        mount: &[String],
    ) -> Result<(), RegistryError> {
        let (action, digest, size) = (Action::Push, blob.digest, blob.size);
        let finished = |how| self.teller().tell(Event::Finished { action, digest, size, how });
        if self.has_blob(repository, &digest).await? {
            finished(How::Present);
            return Ok(());
        }
        // What is damaged here is told here, rather than by a registry after the last byte.
        source.verify(blob)?;
        let what = format!("the push of the blob {digest} to {repository}");
        let mut upload =
            Upload { client: self, repository, source, blob, what, session: None, unsure: false };
        for from in mount {
            if upload.mount(from).await? {
                finished(How::Mounted);
                return Ok(());
            }
        }
        self.teller().tell(Event::Started { action, digest, size });
        let mut attempts = self.attempts(repository, upload.what.clone());
        let mut furthest = 0;
        loop {
            match upload.go_on().await {
                Ok(()) => break,
                Err(fault) => {
                    let at = upload.session.as_ref().map_or(0, |session| session.at);
                    if at > furthest {
                        furthest = at;
                        attempts.progressed();
                    }
                    upload.unsure = true;
                    attempts.after(fault).await?;
                }
            }
        }
        finished(How::Transferred);
        Ok(())
    }
}

impl<'a> Upload<'a> {
    /// Asks the registry to take the blob from another of its repositories. When it will not, it has begun an upload.
    async fn mount(&mut self, from: &str) -> Result<bool, RegistryError> {
        let mut url = self.client.url(self.repository, "blobs/uploads/")?;
        url.query_pairs_mut().append_pair("mount", &self.blob.digest.to_string()).append_pair("from", from);
        let call = self.call(Access::Mount(from.into()), Method::POST, url);
        let response = match self.client.send(&call).await {
            // Who may not read the other repository can still send the bytes.
            Err(RegistryError::Unauthorized { .. }) => return Ok(false),
            answer => answer?,
        };
        match response.status() {
            StatusCode::CREATED => Ok(true),
            StatusCode::ACCEPTED => {
                self.session = Some(self.begun(&call, &response)?);
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// One attempt at all that is still to be sent.
    async fn go_on(&mut self) -> Result<(), Fault> {
        if std::mem::take(&mut self.unsure) {
            // The connection may have broken after the registry had everything.
            if self.client.has_blob(self.repository, &self.blob.digest).await? {
                return Ok(());
            }
            self.session = match self.session.take() {
                Some(session) => self.resume(session).await?,
                None => None,
            };
        }
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.begin().await?,
        };
        while self.blob.size - session.at > session.piece as u64 {
            // What is done counts also when the next piece fails.
            self.session = Some(session.clone());
            session = self.send_piece(session).await?;
            self.told(session.at);
        }
        self.session = Some(session.clone());
        self.finish(session).await
    }

    async fn begin(&self) -> Result<Session, Fault> {
        let url = self.client.url(self.repository, "blobs/uploads/")?;
        let call = self.call(Access::Push, Method::POST, url);
        let response = self.client.once(&call).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.client.unexpected(&call, response).await.into());
        }
        Ok(self.begun(&call, &response)?)
    }

    fn begun(&self, call: &Call<'_>, response: &Response) -> Result<Session, RegistryError> {
        let least = response.headers().get("oci-chunk-min-length").and_then(|value| value.to_str().ok());
        let least = least.and_then(|text| text.parse().ok()).unwrap_or(0);
        let url = self.location(call, response)?;
        // No registry makes us hold a whole large blob in memory.
        const MOST: usize = 128 << 20;
        Ok(Session { url, at: 0, piece: self.client.options().piece.max(least).clamp(1, MOST) })
    }

    /// Where a broken upload goes on; `None` when the registry has forgotten it.
    async fn resume(&self, session: Session) -> Result<Option<Session>, Fault> {
        let call = self.call(Access::Push, Method::GET, session.url.clone());
        let response = self.client.once(&call).await?;
        if response.status() != StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let at = next_byte(&response).filter(|at| *at <= self.blob.size);
        Ok(match at {
            Some(at) => Some(Session { url: self.location(&call, &response)?, at, ..session }),
            None => None,
        })
    }

    async fn send_piece(&self, session: Session) -> Result<Session, Fault> {
        let mut call = self.with_bytes(Method::PATCH, session.url.clone(), session.at, session.piece)?;
        let end = session.at + call.body.len() as u64;
        call = call.header(CONTENT_RANGE, &format!("{}-{}", session.at, end.saturating_sub(1)))?;
        let response = self.client.once(&call).await?;
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => {
                let url = self.location(&call, &response)?;
                Ok(Session { url, at: end, ..session })
            }
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_FOUND => {
                Err(Fault::Lost("it has another part of the upload than it confirmed".into()))
            }
            _ => Err(self.client.unexpected(&call, response).await.into()),
        }
    }

    async fn finish(&self, session: Session) -> Result<(), Fault> {
        let mut url = session.url;
        url.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        let mut call = self.with_bytes(Method::PUT, url, session.at, usize::MAX)?;
        if session.at > 0 && !call.body.is_empty() {
            call =
                call.header(CONTENT_RANGE, &format!("{}-{}", session.at, self.blob.size.saturating_sub(1)))?;
        }
        let response = self.client.once(&call).await?;
        match response.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT => {
                self.told(self.blob.size);
                Ok(())
            }
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_FOUND => {
                Err(Fault::Lost("it has forgotten the upload".into()))
            }
            _ => Err(self.client.unexpected(&call, response).await.into()),
        }
    }

    fn with_bytes(
        &self,
        method: Method,
        url: Url,
        at: u64,
        length: usize,
    ) -> Result<Call<'a>, RegistryError> {
        let mut call =
            self.call(Access::Push, method, url).header(CONTENT_TYPE, "application/octet-stream")?;
        call.body = self.source.piece(self.blob, at, length)?;
        Ok(call)
    }

    fn call(&self, access: Access, method: Method, url: Url) -> Call<'a> {
        Call::new(self.repository, access, method, url, self.what.clone())
    }

    fn location(&self, call: &Call<'_>, response: &Response) -> Result<Url, RegistryError> {
        let to = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let to = to.ok_or_else(|| RegistryError::Hostile {
            registry: self.repository.registry().into(),
            what: self.what.clone(),
            why: "it does not say where to go on (no Location)".into(),
        })?;
        self.client.follow(call, response, to)
    }

    fn told(&self, done: u64) {
        let (action, digest, size) = (Action::Push, self.blob.digest, self.blob.size);
        self.client.teller().tell(Event::Advanced { action, digest, done, size });
    }
}

/// The first byte that the registry lacks, by `Range: 0-<last>`. It writes 0-0 when it has nothing.
fn next_byte(response: &Response) -> Option<u64> {
    let text = response.headers().get(RANGE)?.to_str().ok()?;
    let last: u64 = text.strip_prefix("bytes=").unwrap_or(text).strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last.checked_add(1)? })
}
