//! What containerd knows: a container's image, and the bytes of its blobs. Asked once a container, at create.

mod images;

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use containerd_client::services::v1::{Container, GetContainerRequest, ReadContentRequest};
use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::tonic::{Code, Request, Status};
use containerd_client::{Client, connect};
use image::manifest::MAX_DOCUMENT;
use image::{Descriptor, Digest};

/// A connection to one containerd, in one of its namespaces.
pub struct Containerd {
    client: Client,
    namespace: MetadataValue<Ascii>,
    /// Documents that were read: what a digest names never changes.
    documents: Mutex<HashMap<String, Vec<u8>>>,
    /// The image of the container that was asked about last.
    last_image: Mutex<String>,
}

/// A node has few images, and a document has some kilobytes.
const MOST_DOCUMENTS: usize = 256;

/// The connections to one containerd, each made when its namespace is first asked about, and what is known of images.
pub struct Registry {
    socket: Option<String>,
    connections: Mutex<HashMap<String, Arc<Containerd>>>,
}

impl Registry {
    /// `socket` is containerd's gRPC address, where there is a containerd.
    pub fn new(socket: Option<String>) -> Registry {
        Registry { socket, connections: Mutex::default() }
    }

    /// containerd, as it is seen in a namespace.
    pub async fn of(&self, namespace: &str) -> Result<Option<Arc<Containerd>>> {
        let Some(socket) = &self.socket else { return Ok(None) };
        if let Some(found) = self.connections.lock().unwrap_or_else(PoisonError::into_inner).get(namespace) {
            return Ok(Some(found.clone()));
        }
        // The connection mends itself when containerd goes and comes back.
        let made = Arc::new(Containerd::connect(socket, namespace).await?);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.insert(namespace.to_owned(), made.clone());
        Ok(Some(made))
    }
}

/// Where CRI keeps, in a container's record, what the kubelet asked for.
const CRI_METADATA: &str = "io.cri-containerd.container.metadata";

/// What a container was made from.
#[derive(Debug, Clone)]
pub struct Origin {
    pub image: ImageRef,
    /// The image's name as the pod says it, where a kubelet has told CRI.
    pub asked_for: Option<String>,
    /// The config of the image whose root file system and process CRI gave the container. The image's name may lead elsewhere.
    pub made_of: Option<Digest>,
}

/// An image as containerd names it.
#[derive(Debug, Clone)]
pub struct ImageRef {
    pub name: String,
    pub target: Descriptor,
}

impl Containerd {
    /// Connects to a gRPC socket.
    pub async fn connect(socket: &str, namespace: &str) -> Result<Containerd> {
        let path = socket.trim_start_matches("unix://");
        let channel = connect(path).await.with_context(|| format!("cannot reach containerd at {path}"))?;
        let namespace = namespace.parse().context("the namespace is no header value")?;
        Ok(Containerd {
            client: channel.into(),
            namespace,
            documents: Mutex::default(),
            last_image: Mutex::default(),
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        request
    }

    /// What a container was made from; `None` for one that was made from a folder, or that containerd does not know (a
    /// shim driven by hand).
    ///
    /// Many containers in a row are of one image: while containerd looks for the container, it is asked for the image of the last
    /// one, too. What it answers is as new as if it had been asked then.
    pub async fn origin_of(&self, container: &str) -> Result<Option<Origin>> {
        let guess = self.last_image().clone();
        let guessed = async {
            match guess.is_empty() {
                true => None,
                false => Some(self.image(&guess).await),
            }
        };
        let (container, guessed) = tokio::join!(self.container(container), guessed);
        let Some(container) = container?.filter(|container| !container.image.is_empty()) else {
            return Ok(None);
        };
        let image = match guessed {
            Some(image) if guess == container.image => image?,
            _ => {
                self.last_image().clone_from(&container.image);
                self.image(&container.image).await?
            }
        };
        let cri = container.extensions.get(CRI_METADATA).map_or([].as_slice(), |cri| &cri.value);
        let cri = Record::read(cri);
        Ok(Some(Origin { image, asked_for: cri.name_in_the_pod(), made_of: cri.config()? }))
    }

    async fn container(&self, id: &str) -> Result<Option<Container>> {
        let get = self.request(GetContainerRequest { id: id.to_owned() });
        match self.client.containers().get(get).await {
            Ok(response) => Ok(response.into_inner().container),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => bail!("containerd does not tell about the container {id}: {}", status.message()),
        }
    }

    fn last_image(&self) -> MutexGuard<'_, String> {
        self.last_image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a document into memory and checks that it is the one that is referred to.
    pub async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let digest = descriptor.digest.to_string();
        if let Some(bytes) = self.documents().get(&digest) {
            return Ok(bytes.clone());
        }
        let mut bytes = Vec::new();
        self.stream(&descriptor.digest, MAX_DOCUMENT, &mut bytes).await?;
        descriptor.verify(&bytes)?;
        let mut documents = self.documents();
        if documents.len() >= MOST_DOCUMENTS {
            documents.clear();
        }
        documents.insert(digest, bytes.clone());
        Ok(bytes)
    }

    fn documents(&self) -> MutexGuard<'_, HashMap<String, Vec<u8>>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies a blob of at most `limit` bytes into a file. Its digest is the caller's to check.
    pub async fn copy(&self, digest: &Digest, limit: u64, file: &mut File) -> Result<()> {
        self.stream(digest, limit, file).await
    }

    async fn stream(&self, digest: &Digest, limit: u64, into: &mut impl Write) -> Result<()> {
        let read = self.request(ReadContentRequest { digest: digest.to_string(), offset: 0, size: 0 });
        let response = self.client.content().read(read).await;
        let refused = |status: Status| Unread {
            digest: *digest,
            is_absent: status.code() == Code::NotFound,
            why: status.message().to_owned(),
        };
        let mut parts = response.map_err(refused)?.into_inner();
        let mut total = 0u64;
        while let Some(part) = parts.message().await.map_err(refused)? {
            total = total.saturating_add(part.data.len() as u64);
            if total > limit {
                bail!("the blob {digest} has more than the {limit} bytes that it may have");
            }
            into.write_all(&part.data).with_context(|| format!("cannot keep the blob {digest}"))?;
        }
        Ok(())
    }
}

/// A blob that containerd does not give.
#[derive(Debug, thiserror::Error)]
#[error("containerd cannot read the blob {digest}: {why}")]
pub struct Unread {
    digest: Digest,
    /// containerd has none; else it could not be asked.
    pub is_absent: bool,
    why: String,
}

/// CRI's record of a container. It is of CRI's own making, so that no pod can write into it, and no interface: what is not there
/// says nothing.
struct Record(serde_json::Value);

impl Record {
    fn read(metadata: &[u8]) -> Record {
        Record(serde_json::from_slice(metadata).unwrap_or_default())
    }

    /// The name that the pod gave its image.
    fn name_in_the_pod(&self) -> Option<String> {
        let name = self.0.pointer("/Metadata/Config/image/user_specified_image")?.as_str()?;
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// What CRI calls an image by: the digest of its config.
    ///
    /// # Errors
    /// It is none that could be compared with an image's. To go on as if nothing had been said would run files that nobody has looked at.
    fn config(&self) -> Result<Option<Digest>> {
        let config = self.0.pointer("/Metadata/ImageRef").and_then(serde_json::Value::as_str);
        let Some(config) = config.filter(|config| !config.is_empty()) else { return Ok(None) };
        let digest = config.parse().with_context(|| {
            format!(
                "containerd made the container of the image «{}», and images are known by sha256 alone: build it anew",
                config.escape_debug()
            )
        });
        digest.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_that_a_pod_names_is_read_from_its_containers_record() {
        let record = |image: &str| {
            format!(r#"{{"Version":"v1","Metadata":{{"ID":"1","Config":{{"image":{image}}}}}}}"#)
        };
        let name = |image: &str| Record::read(record(image).as_bytes()).name_in_the_pod();
        let told = r#"{"image":"sha256:98","user_specified_image":"localhost/shop:1"}"#;
        assert_eq!(name(told).as_deref(), Some("localhost/shop:1"));
        for silent in [
            r#"{"image":"sha256:98"}"#,
            r#"{"user_specified_image":""}"#,
            r#"{"user_specified_image":7}"#,
            "null",
        ] {
            assert_eq!(name(silent), None, "{silent}");
        }
        assert_eq!(Record::read(b"").name_in_the_pod(), None);
        assert_eq!(Record::read(b"[]").name_in_the_pod(), None);
    }

    #[test]
    fn the_config_that_a_container_is_made_of_is_read_from_its_record() {
        let digest = Digest::of(b"config");
        let config = |image: &str| {
            Record::read(format!(r#"{{"Version":"v1","Metadata":{{"ImageRef":{image}}}}}"#).as_bytes())
                .config()
        };
        assert_eq!(config(&format!("\"{digest}\"")).unwrap(), Some(digest));
        for silent in ["\"\"", "7", "null"] {
            assert_eq!(config(silent).unwrap(), None, "{silent}");
        }
        for strange in ["\"sha256:98\"", "\"sha512:98\"", "\"localhost/shop:1\""] {
            let sentence = format!("{:#}", config(strange).unwrap_err());
            assert!(sentence.contains(&strange.replace('"', "")) && sentence.contains("anew"), "{sentence}");
        }
        assert_eq!(Record::read(b"").config().unwrap(), None);
    }
}
