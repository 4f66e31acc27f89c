//! Which Wasm a container runs: a layer of its image, the one layer of a Wasm artifact, or a file of its root.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::BorrowedFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use grants::Grants;
use image::manifest::MAX_DEPTH;
use image::{Descriptor, Digest, Document, Hasher, ImageConfig, Kind, Manifest, WasmImage};

use crate::containerd::{Containerd, ImageRef};
use crate::mount::open_file;

/// The largest Wasm that is looked at, in bytes.
const MAX_WASM: u64 = 1 << 30;

/// Enough of a file to tell what it is.
const HEAD: usize = 4096;

/// A container's Wasm, by its digest.
pub struct Source {
    pub digest: Digest,
    /// What people know it by: its path, or the title of its layer.
    pub name: String,
    origin: Origin,
}

enum Origin {
    /// A blob of containerd's content store, which has checked its digest.
    Layer(Descriptor),
    File(File),
}

/// What an image says about Wasm.
pub struct ImageFacts {
    pub wasm: WasmImage,
    /// Layers that make up a root file system.
    pub has_rootfs: bool,
}

/// Reads what an image says about Wasm. `asked_for` is the name in the pod, where there is a pod.
pub async fn facts(containerd: &Containerd, image: &ImageRef, asked_for: Option<&str>) -> Result<ImageFacts> {
    let mut manifest =
        manifest(containerd, image).await.with_context(|| format!("the image {}", image.name))?;
    if let Some(name) = asked_for.filter(|_| manifest.claims_wasm()) {
        let one_of_several = same_config(containerd, manifest, name).await;
        manifest = one_of_several.with_context(|| format!("the image {name}"))?;
    }
    let wasm = manifest.wasm(MAX_WASM).with_context(|| format!("the image {}", image.name))?;
    let has_rootfs = match &wasm {
        WasmImage::Layers(layers) => layers.len() < manifest.layers.len(),
        WasmImage::Artifact(_) => false,
        WasmImage::None => true,
    };
    Ok(ImageFacts { wasm, has_rootfs })
}

/// Whether an image says by its layers, its config or its platform that it is Wasm: then it never runs as a native one.
pub async fn image_claims_wasm(containerd: &Containerd, image: &ImageRef) -> Result<bool> {
    let manifest = manifest(containerd, image).await.with_context(|| format!("the image {}", image.name))?;
    if manifest.claims_wasm() {
        return Ok(true);
    }
    Ok(ImageConfig::parse(&containerd.document(&manifest.config).await?)?.claims_wasm())
}

/// CRI knows an image by the digest of its config. Wasm layers are no part of a config unless its builder names them
/// there, so two images with one config are one to CRI, and the container may be given the other. What confirms the
/// manifest is a config that names its layers, else the name that the pod asked for.
async fn same_config(containerd: &Containerd, given: Manifest, name: &str) -> Result<Manifest> {
    let config = ImageConfig::parse(&containerd.document(&given.config).await?)?;
    if given.is_confirmed_by(&config)? {
        return Ok(given);
    }
    let asked_for = containerd
        .image(name)
        .await
        .context("its config does not name its Wasm layers: name the image in full in the pod, registry and tag included")?;
    let asked_for = manifest(containerd, &asked_for).await?;
    if asked_for.config.digest != given.config.digest {
        bail!("containerd gave the container another image, whose config is {}", given.config.digest);
    }
    Ok(asked_for)
}

/// An image's manifest, through its indexes if it has any.
async fn manifest(containerd: &Containerd, image: &ImageRef) -> Result<Manifest> {
    let mut wanted = image.target.clone();
    for _ in 0..=MAX_DEPTH {
        let bytes = containerd.document(&wanted).await?;
        match image::manifest::parse(&bytes, &wanted.media_type)? {
            Document::Manifest(manifest) => return Ok(manifest),
            Document::Index(index) => wanted = index.pick(architecture())?.clone(),
        }
    }
    bail!("its indexes are nested deeper than {MAX_DEPTH}")
}

/// This machine's architecture in Go's words, which images use.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Finds the container's Wasm. `rootfs` is its root file system, where it has one.
pub fn find(facts: Option<&ImageFacts>, rootfs: Option<BorrowedFd<'_>>, grants: &Grants) -> Result<Source> {
    let path = &grants.entry().path;
    match facts.map(|facts| &facts.wasm) {
        Some(WasmImage::Artifact(layer)) => Ok(Source::layer(layer)),
        Some(WasmImage::Layers(layers)) => {
            Ok(Source::layer(image::entry::choose(layers, &path.to_string_lossy())?))
        }
        Some(WasmImage::None) | None => {
            let rootfs = rootfs.context("the container has neither an image nor a root file system")?;
            Source::file(rootfs, path)
        }
    }
}

impl Source {
    fn layer(layer: &Descriptor) -> Source {
        let name =
            layer.title().map_or_else(|| layer.digest.to_string(), |title| title.escape_debug().to_string());
        Source { digest: layer.digest, name, origin: Origin::Layer(layer.clone()) }
    }

    fn file(rootfs: BorrowedFd<'_>, path: &Path) -> Result<Source> {
        if path.as_os_str().is_empty() {
            bail!(
                "the container has no command: name a .wasm file of its root file system, e.g. `/app.wasm`"
            );
        }
        let mut file = open_file(rootfs, path, MAX_WASM)?;
        let mut head = Vec::with_capacity(HEAD);
        file.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
        match image::sniff(&head) {
            Kind::Component | Kind::Module | Kind::Wat => {}
            Kind::Elf | Kind::Script => bail!(
                "{} is a native program, not Wasm: run it with another runtimeClassName, or as a native container where the node's config says native = \"allow\", neither image nor file name says Wasm, and the file is executable",
                path.display()
            ),
            other => bail!("{} is not Wasm: {}", path.display(), other.describe()),
        }
        file.seek(SeekFrom::Start(0))?;
        let mut hasher = Hasher::default();
        std::io::copy(&mut file, &mut hasher).with_context(|| format!("cannot read {}", path.display()))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Source { digest: hasher.finish(), name: path.display().to_string(), origin: Origin::File(file) })
    }

    /// The bytes, copied to where nobody can change them, checked against the digest. Only a cache miss needs them.
    pub async fn bytes(&self, containerd: Option<&Containerd>) -> Result<File> {
        let memfd = rustix::fs::memfd_create("wasm", rustix::fs::MemfdFlags::CLOEXEC)
            .context("cannot make room for the Wasm")?;
        let mut copy = File::from(memfd);
        match &self.origin {
            Origin::Layer(layer) => {
                let containerd = containerd.context("no containerd to read the image from")?;
                containerd.copy(&layer.digest, MAX_WASM, &mut copy).await?;
            }
            Origin::File(file) => {
                std::io::copy(&mut file.try_clone()?, &mut copy).context("cannot read the Wasm")?;
            }
        }
        let mut hasher = Hasher::default();
        copy.seek(SeekFrom::Start(0))?;
        std::io::copy(&mut copy, &mut hasher)?;
        if hasher.finish() != self.digest {
            bail!("the Wasm is not what its digest {} says", self.digest);
        }
        copy.seek(SeekFrom::Start(0))?;
        Ok(copy)
    }
}
