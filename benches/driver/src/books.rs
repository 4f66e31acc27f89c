//! containerd's books: containers are entered there over gRPC, each like one that `ctr` has made, in a few milliseconds
//! instead of ctr's fifty. A shim looks its container up there.

use std::collections::HashMap;

use anyhow::{Context, Result};
use containerd_client::services::v1::snapshots::{
    PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use containerd_client::services::v1::{
    Container, CreateContainerRequest, DeleteContainerRequest, GetContainerRequest,
};
use containerd_client::tonic::Request;
use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::{Client, connect};
use containerd_shim_protos::api::Mount;
use tokio::runtime::{Builder, Runtime};

use crate::containerd::{ADDRESS, ctr, namespace};
use crate::peer::Peer;

/// What keeps containerd's garbage collector from a snapshot that no container names yet.
const ROOT: (&str, &str) = ("containerd.io/gc.root", "bench");

pub struct Books {
    runtime: Runtime,
    client: Client,
    namespace: MetadataValue<Ascii>,
}

/// A container that `ctr` has made, after which others are made.
pub struct Template {
    record: Container,
    /// Its spec, JSON.
    spec: String,
    /// The snapshot that its image was unpacked to.
    layers: String,
}

/// A container in the books, and what containerd would give its shim.
pub struct Entry {
    pub id: String,
    /// `config.json`.
    pub spec: String,
    pub rootfs: Vec<Mount>,
    snapshotter: String,
}

impl Books {
    pub fn open() -> Result<Books> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let channel = runtime.block_on(connect(ADDRESS)).context("cannot reach containerd")?;
        let namespace = namespace().parse().context("the namespace is no header value")?;
        Ok(Books { runtime, client: channel.into(), namespace })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        request
    }

    /// Has `ctr` make a container that a peer would run a test program in. It stays.
    pub fn template(&self, peer: Peer, program: &str) -> Result<Template> {
        let id = format!("template-{}-{program}", peer.name());
        let image = peer.image(program);
        let create = ["containers", "create"].into_iter().chain(peer.flags().iter().copied());
        ctr(create.chain([image.as_str(), id.as_str()]))?;
        self.runtime.block_on(async {
            let get = self.request(GetContainerRequest { id });
            let record = self.client.containers().get(get).await?.into_inner().container;
            let record = record.context("containerd sent no container")?;
            let stat = self.request(StatSnapshotRequest {
                snapshotter: record.snapshotter.clone(),
                key: record.snapshot_key.clone(),
            });
            let info = self.client.snapshots().stat(stat).await?.into_inner().info;
            let spec = record.spec.clone().context("the container has no spec")?;
            Ok(Template {
                spec: String::from_utf8(spec.value).context("the container's spec is no JSON")?,
                layers: info.context("containerd knows nothing of a snapshot")?.parent,
                record,
            })
        })
    }

    /// Enters one container more, with a snapshot of its own.
    pub fn enter(&self, template: &Template, id: &str) -> Result<Entry> {
        let spec = template.spec.replace(&template.record.id, id);
        let mut record =
            Container { id: id.to_owned(), snapshot_key: id.to_owned(), ..template.record.clone() };
        if let Some(any) = &mut record.spec {
            any.value = spec.clone().into_bytes();
        }
        let snapshotter = record.snapshotter.clone();
        let prepare = self.request(PrepareSnapshotRequest {
            snapshotter: snapshotter.clone(),
            key: id.to_owned(),
            parent: template.layers.clone(),
            labels: HashMap::from([(ROOT.0.to_owned(), ROOT.1.to_owned())]),
        });
        let create = self.request(CreateContainerRequest { container: Some(record) });
        let mounts = self.runtime.block_on(async {
            let mounts = self.client.snapshots().prepare(prepare).await?.into_inner().mounts;
            self.client.containers().create(create).await?;
            anyhow::Ok(mounts)
        });
        let mounts = mounts.with_context(|| format!("cannot enter the container {id}"))?;
        let rootfs = mounts.into_iter().map(|mount| Mount {
            type_: mount.r#type,
            source: mount.source,
            target: mount.target,
            options: mount.options,
            ..Default::default()
        });
        Ok(Entry { id: id.to_owned(), spec, rootfs: rootfs.collect(), snapshotter })
    }

    /// Strikes a container out again.
    pub fn strike(&self, entry: &Entry) -> Result<()> {
        let delete = self.request(DeleteContainerRequest { id: entry.id.clone() });
        let remove = self
            .request(RemoveSnapshotRequest { snapshotter: entry.snapshotter.clone(), key: entry.id.clone() });
        self.runtime.block_on(async {
            self.client.containers().delete(delete).await?;
            self.client.snapshots().remove(remove).await?;
            Ok(())
        })
    }
}
