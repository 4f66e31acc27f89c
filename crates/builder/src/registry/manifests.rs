//! Manifests and indexes: read with a limit, verified against their names, written last.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};
use image::manifest::MAX_DOCUMENT;
use image::{Descriptor, Digest, media};

use super::client::{Access, Call, Client};
use super::download::announced;
use super::error::{RegistryError, tame};
use crate::reference::Reference;

/// A manifest or index as a registry has it.
#[derive(Debug, Clone)]
pub struct Fetched {
    pub descriptor: Descriptor,
    pub bytes: Bytes,
}

impl Client {
    /// The manifest or index of a reference: at most 4 MiB, of the digest that the reference or the registry names.
    ///
    /// # Errors
    /// A sentence; [`RegistryError::NotFound`] when there is none.
    pub async fn manifest(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        self.manifest_if_any(reference).await?.ok_or_else(|| RegistryError::NotFound {
            registry: reference.repository().registry().into(),
            what: reference.to_string(),
        })
    }

    /// The same; `None` when there is none.
    ///
    /// # Errors
    /// A sentence.
    pub async fn manifest_if_any(&self, reference: &Reference) -> Result<Option<Fetched>, RegistryError> {
        let call = self.manifest_call(Method::GET, reference)?;
        let Some((headers, bytes)) = self.fetch(&call, MAX_DOCUMENT).await? else {
            return Ok(None);
        };
        let digest = Digest::of(&bytes);
        for expected in [reference.digest().map(Ok), announced(&headers)].into_iter().flatten() {
            if expected.as_ref() != Ok(&digest) {
                let expected = expected.map_or_else(|text| text, |digest| digest.to_string());
                return Err(RegistryError::Hostile {
                    registry: reference.repository().registry().into(),
                    what: reference.to_string(),
                    why: format!("it sends a document with the digest {digest} for {expected}"),
                });
            }
        }
        let media_type = media_type(&headers);
        // A page to log in at, say.
        if !media_type.is_empty() && !media::is_manifest(&media_type) && !media::is_index(&media_type) {
            return Err(RegistryError::Refused(format!(
                "{reference} is a document of the type «{media_type}», which is no manifest or index of OCI's or docker's"
            )));
        }
        let size = bytes.len() as u64;
        let descriptor = Descriptor { media_type, digest, size, annotations: Default::default() };
        Ok(Some(Fetched { descriptor, bytes }))
    }

    /// The digest that a tag has; `None` when there is no such tag.
    ///
    /// # Errors
    /// A sentence.
    pub async fn digest_of(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        let call = self.manifest_call(Method::HEAD, reference)?;
        let response = self.send(&call).await?;
        match (response.status(), announced(response.headers())) {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (StatusCode::OK, Some(Ok(digest))) => Ok(Some(digest)),
            // The header is optional: what the tag leads to has the digest in any case.
            (StatusCode::OK, _) => {
                Ok(self.manifest_if_any(reference).await?.map(|found| found.descriptor.digest))
            }
            _ => Err(self.unexpected(&call, response).await),
        }
    }

    /// Writes a manifest under a tag or its digest. All that it refers to must be there.
    ///
    /// # Returns
    /// Whether the registry knows by itself who refers to what (`OCI-Subject`).
    pub(crate) async fn put_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<bool, RegistryError> {
        let digest = Digest::of(&bytes);
        let url = self.url(reference.repository(), &format!("manifests/{}", reference.key()))?;
        let what = format!("the push of {reference}");
        let mut call = Call::new(reference.repository(), Access::Push, Method::PUT, url, what)
            .header(CONTENT_TYPE, media_type)?;
        call.body = bytes;
        let response = self.send(&call).await?;
        if response.status() != StatusCode::CREATED {
            return Err(self.unexpected(&call, response).await);
        }
        match announced(response.headers()) {
            Some(found) if found.as_ref() != Ok(&digest) => Err(RegistryError::Hostile {
                registry: reference.repository().registry().into(),
                what: call.what,
                why: format!(
                    "it stored {} for {digest}",
                    found.map_or_else(|text| text, |digest| digest.to_string())
                ),
            }),
            _ => Ok(response.headers().contains_key("oci-subject")),
        }
    }

    fn manifest_call<'a>(&self, method: Method, reference: &'a Reference) -> Result<Call<'a>, RegistryError> {
        let url = self.url(reference.repository(), &format!("manifests/{}", reference.key()))?;
        let accept =
            [media::OCI_MANIFEST, media::OCI_INDEX, media::DOCKER_MANIFEST, media::DOCKER_INDEX].join(", ");
        Call::new(reference.repository(), Access::Pull, method, url, reference.to_string())
            .header(ACCEPT, &accept)
    }
}

/// The type without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    tame(text.split(';').next().unwrap_or_default())
}
