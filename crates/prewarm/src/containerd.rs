//! What is asked of containerd.

use std::collections::HashSet;
use std::path::Path;
use std::pin::Pin;

use anyhow::{Context, Result, anyhow, bail};
use containerd_client::Client;
use containerd_client::services::v1::container::Runtime;
use containerd_client::services::v1::{
    Container, CreateContainerRequest, CreateTaskRequest, DeleteContainerRequest, DeleteTaskRequest,
    GetImageRequest, Image, ListContainersRequest, ListImagesRequest, ReadContentRequest, SubscribeRequest,
};
use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::tonic::{Code, Request, Response, Status, Streaming};
use containerd_client::types::Envelope;
use image::manifest::MAX_DOCUMENT;
use image::{Descriptor, Digest};

/// A connection, in one of containerd's namespaces.
pub struct Containerd {
    client: Client,
    name: String,
    namespace: MetadataValue<Ascii>,
}

type Answer = Result<Response<Streaming<Envelope>>, Status>;

/// Events, once they are asked for: containerd answers the call itself only when it has the first of them.
pub enum Events {
    Asked(Pin<Box<dyn Future<Output = Answer> + Send>>),
    Told(Box<Streaming<Envelope>>),
}

impl Events {
    /// The next one. Whoever does not wait for it to the end misses none.
    pub async fn next(&mut self) -> Result<Envelope> {
        loop {
            match self {
                Events::Asked(answer) => {
                    *self = Events::Told(Box::new(answer.await.map_err(told)?.into_inner()))
                }
                Events::Told(events) => {
                    return events
                        .message()
                        .await
                        .map_err(told)?
                        .context("containerd tells no more of its images");
                }
            }
        }
    }
}

fn told(status: Status) -> anyhow::Error {
    said("containerd tells nothing of its images")(status)
}

/// What a container is made of.
pub struct Made<'a> {
    pub id: &'a str,
    pub image: &'a str,
    /// A key and its value.
    pub label: (&'a str, &'a str),
    pub runtime: Runtime,
    pub spec: prost_types::Any,
}

impl Containerd {
    pub async fn connect(socket: &Path, namespace: &str) -> Result<Containerd> {
        let channel = containerd_client::connect(socket).await;
        let channel =
            channel.with_context(|| format!("containerd does not answer at {}", socket.display()))?;
        let header =
            namespace.parse().with_context(|| format!("{namespace} is no namespace of containerd"))?;
        Ok(Containerd { client: channel.into(), name: namespace.to_owned(), namespace: header })
    }

    /// Whatever images are created or updated from now on.
    pub fn image_events(&self) -> Events {
        let filter = |topic: &str| format!("topic==\"{topic}\",namespace==\"{}\"", self.name);
        let filters = vec![filter("/images/create"), filter("/images/update")];
        let (mut client, request) = (self.client.events(), self.request(SubscribeRequest { filters }));
        Events::Asked(Box::pin(async move { client.subscribe(request).await }))
    }

    /// One name of each image that there is.
    pub async fn images(&self) -> Result<Vec<String>> {
        let images = self.client.images().list(self.request(ListImagesRequest::default())).await;
        let images = images.map_err(said("containerd does not list its images"))?.into_inner().images;
        let mut seen = HashSet::new();
        let is_new = |image: &Image| seen.insert(image.target.as_ref().map(|target| target.digest.clone()));
        Ok(images.into_iter().filter(is_new).map(|image| image.name).collect())
    }

    /// What an image's name leads to; `None` where there is no such image any more.
    pub async fn target(&self, name: &str) -> Result<Option<Descriptor>> {
        let get = self.request(GetImageRequest { name: name.to_owned() });
        let image = match self.client.images().get(get).await {
            Ok(response) => response.into_inner().image,
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => return Err(said("containerd does not tell about it")(status)),
        };
        let Some(target) = image.and_then(|image| image.target) else { return Ok(None) };
        let digest: Digest = target.digest.parse()?;
        let size = u64::try_from(target.size).unwrap_or(0);
        Ok(Some(Descriptor { media_type: target.media_type, digest, size, annotations: Default::default() }))
    }

    /// Reads a document and checks that it is the one that is referred to.
    pub async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let read = ReadContentRequest { digest: descriptor.digest.to_string(), offset: 0, size: 0 };
        let refused = |status| said("containerd cannot read one of its documents")(status);
        let mut parts = self.client.content().read(self.request(read)).await.map_err(refused)?.into_inner();
        let mut bytes = Vec::new();
        while let Some(part) = parts.message().await.map_err(refused)? {
            bytes.extend_from_slice(&part.data);
            if bytes.len() as u64 > MAX_DOCUMENT {
                bail!("its document {} has more than {MAX_DOCUMENT} bytes", descriptor.digest);
            }
        }
        descriptor.verify(&bytes)?;
        Ok(bytes)
    }

    /// Answers whether there was none of this id.
    pub async fn create_container(&self, made: &Made<'_>) -> Result<bool> {
        let (key, value) = made.label;
        let container = Container {
            id: made.id.to_owned(),
            image: made.image.to_owned(),
            labels: [(key.to_owned(), value.to_owned())].into(),
            runtime: Some(made.runtime.clone()),
            spec: Some(made.spec.clone()),
            ..Container::default()
        };
        let request = self.request(CreateContainerRequest { container: Some(container) });
        match self.client.containers().create(request).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::AlreadyExists => Ok(false),
            Err(status) => Err(said("containerd makes no container")(status)),
        }
    }

    /// Creates a container's task, without streams and root file system, by this shim if it is said. What the shim refuses is told in
    /// its words.
    pub async fn create_task(&self, container: &str, shim: Option<&Path>) -> Result<()> {
        let request = CreateTaskRequest {
            container_id: container.to_owned(),
            runtime_path: shim.map(|shim| shim.display().to_string()).unwrap_or_default(),
            ..CreateTaskRequest::default()
        };
        let created = self.client.tasks().create(self.request(request)).await;
        created.map(drop).map_err(|status| anyhow!("{}", status.message().to_owned()))
    }

    /// One that is not there is as good as deleted.
    pub async fn delete_task(&self, container: &str) -> Result<()> {
        let request = self.request(DeleteTaskRequest { container_id: container.to_owned() });
        gone(self.client.tasks().delete(request).await.map(drop))
    }

    /// One that is not there is as good as deleted.
    pub async fn delete_container(&self, container: &str) -> Result<()> {
        let request = self.request(DeleteContainerRequest { id: container.to_owned() });
        gone(self.client.containers().delete(request).await.map(drop))
    }

    /// The ids of all containers with a label.
    pub async fn containers_with(&self, label: &str) -> Result<Vec<String>> {
        let request = self.request(ListContainersRequest { filters: vec![format!("labels.\"{label}\"")] });
        let list = self.client.containers().list(request).await;
        let list = list.map_err(said("containerd does not list its containers"))?.into_inner();
        Ok(list.containers.into_iter().map(|container| container.id).collect())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        request
    }
}

fn said(what: &'static str) -> impl Fn(Status) -> anyhow::Error {
    move |status| anyhow!("{what}: {}", status.message())
}

fn gone(deleted: Result<(), Status>) -> Result<()> {
    match deleted {
        Err(status) if status.code() != Code::NotFound => {
            Err(said("containerd does not take the container away")(status))
        }
        _ => Ok(()),
    }
}
