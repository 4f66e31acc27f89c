//! Which Wasm a container runs: a layer of its image, the one layer of a Wasm artifact, or a file of its root; or several of them that
//! are linked, as the image's builder has planned it or as the pod's `run.wasm/plug` names them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::BorrowedFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use grants::Grants;
use host::link::{Linking, Part, Parts};
use image::compose::Plan;
use image::{Descriptor, Digest, Hasher, ImageConfig, Kind, Manifest, WasmImage};

use super::lineage::{Content, lineage};
use crate::containerd::{Containerd, ImageRef};
use crate::mount::open_file;

/// The largest Wasm that is looked at, in bytes.
const MAX_WASM: u64 = 1 << 30;

/// Enough of a file to tell what it is.
const HEAD: usize = 4096;

/// The most components that are linked to run a container.
const MOST_PIECES: usize = 32;

/// A container's Wasm.
pub struct Source {
    /// Of what is linked, a digest of all of it and of how.
    pub digest: Digest,
    /// What people know it by.
    pub name: String,
    pieces: Vec<Piece>,
    /// How they are linked, where there are several.
    linking: Option<Linking>,
}

/// One file or layer.
struct Piece {
    digest: Digest,
    /// Its path, or the title of its layer.
    name: String,
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
    /// How its Wasm layers are linked, if they are.
    pub composition: Option<Plan>,
    pub content: Content,
}

/// Wasm for a compiler: what it consists of, one after the other in a file.
pub struct Input {
    pub file: File,
    pub parts: Option<Parts>,
}

/// Reads what an image says about Wasm. `asked_for` is the name in the pod, where there is a pod; `made_of` the config of the
/// image whose root file system the container has, where somebody has written that down.
pub async fn facts(
    containerd: &Containerd,
    image: &ImageRef,
    asked_for: Option<&str>,
    made_of: Option<&Digest>,
) -> Result<ImageFacts> {
    let given = lineage(containerd, image, made_of).await;
    let given = given.with_context(|| format!("the image {}", image.name))?.manifest;
    let (manifest, by_config) = match asked_for {
        Some(name) if given.claims_wasm() => {
            let one_of_several = same_config(containerd, given, name).await;
            one_of_several.with_context(|| format!("the image {name}"))?
        }
        // Without Wasm layers there is nothing that a config leaves out.
        _ => {
            let by_config = !given.claims_wasm();
            (given, by_config)
        }
    };
    let wasm = manifest.wasm(MAX_WASM).with_context(|| format!("the image {}", image.name))?;
    let has_rootfs = match &wasm {
        WasmImage::Layers(layers) => layers.len() < manifest.layers.len(),
        WasmImage::Artifact(_) => false,
        WasmImage::None => true,
    };
    // One layer alone is linked with nothing, and its config need not be read.
    let composition = match &wasm {
        WasmImage::Layers(layers) if layers.len() > 1 => {
            ImageConfig::parse(&containerd.document(&manifest.config).await?)?.composition
        }
        _ => None,
    };
    let content = Content {
        manifest: manifest.digest,
        config: manifest.config.digest,
        by_config,
        has_files: has_rootfs,
    };
    Ok(ImageFacts { wasm, has_rootfs, composition, content })
}

/// What a native container runs of an image. `None` where the image says by its layers, its config or its platform that it is
/// Wasm: then it never runs as a native one.
pub async fn native_content(
    containerd: &Containerd,
    image: &ImageRef,
    made_of: Option<&Digest>,
) -> Result<Option<Content>> {
    let manifest = lineage(containerd, image, made_of).await;
    let manifest = manifest.with_context(|| format!("the image {}", image.name))?.manifest;
    let claims_wasm = manifest.claims_wasm()
        || ImageConfig::parse(&containerd.document(&manifest.config).await?)?.claims_wasm();
    let (manifest, config) = (manifest.digest, manifest.config.digest);
    let content = Content { manifest, config, by_config: true, has_files: true };
    Ok((!claims_wasm).then_some(content))
}

/// CRI knows an image by the digest of its config. Wasm layers are no part of a config unless its builder names them
/// there, so two images with one config are one to CRI, and the container may be given the other. What confirms the
/// manifest is a config that names its layers, else the name that the pod asked for. Answers whether the config names all that
/// runs.
async fn same_config(containerd: &Containerd, given: Manifest, name: &str) -> Result<(Manifest, bool)> {
    let config = ImageConfig::parse(&containerd.document(&given.config).await?)?;
    if given.is_confirmed_by(&config)? {
        // Of several layers, the titles say which is run.
        let names_all = config.layer_titles.is_some() || given.layers.len() == 1;
        return Ok((given, names_all));
    }
    let asked_for = containerd
        .image(name)
        .await
        .context("its config does not name its Wasm layers: name the image in full in the pod, registry and tag included")?;
    let asked_for = lineage(containerd, &asked_for, Some(&given.config.digest)).await?.manifest;
    if asked_for.config.digest != given.config.digest {
        bail!("containerd gave the container another image, whose config is {}", given.config.digest);
    }
    Ok((asked_for, false))
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
    let place = Place { facts, rootfs };
    let entry = place.piece(path)?;
    let composition = facts.and_then(|facts| facts.composition.as_ref());
    match (composition.filter(|plan| same_title(&plan.root, &entry.name)), grants.plugs()) {
        (None, []) => Ok(Source::alone(entry)),
        (Some(plan), []) => place.composition(plan),
        (Some(_), _) => bail!(
            "the image links «{}» with its own layers, and run.wasm/plug cannot add to that: leave the annotation out",
            entry.name
        ),
        (None, plugs) => {
            let plugs = plugs.iter().map(|plug| place.plug(plug)).collect::<Result<Vec<_>>>()?;
            Source::linked(std::iter::once(entry).chain(plugs).collect(), Linking::Plugs)
        }
    }
}

/// Where a container's Wasm may be.
struct Place<'a> {
    facts: Option<&'a ImageFacts>,
    rootfs: Option<BorrowedFd<'a>>,
}

impl Place<'_> {
    fn piece(&self, path: &Path) -> Result<Piece> {
        match self.facts.map(|facts| &facts.wasm) {
            Some(WasmImage::Artifact(layer)) => Ok(Piece::layer(layer)),
            Some(WasmImage::Layers(layers)) => {
                Ok(Piece::layer(image::entry::choose(layers, &path.to_string_lossy())?))
            }
            Some(WasmImage::None) | None => {
                let rootfs =
                    self.rootfs.context("the container has neither an image nor a root file system")?;
                Piece::file(rootfs, path)
            }
        }
    }

    /// One alone in its image would be the entry, whatever it is called.
    fn plug(&self, path: &Path) -> Result<Piece> {
        match self.facts.map(|facts| &facts.wasm) {
            Some(WasmImage::Artifact(_)) => bail!(
                "annotation run.wasm/plug: an artifact holds one Wasm file alone; pack {} and what it is plugged into as an image",
                path.display()
            ),
            Some(WasmImage::Layers(layers)) if layers.len() == 1 => bail!(
                "annotation run.wasm/plug: the image holds one Wasm file alone, and no {}",
                path.display()
            ),
            _ => self.piece(path).context("annotation run.wasm/plug"),
        }
    }

    /// The layers that a plan names, each by its title and its digest.
    fn composition(&self, plan: &Plan) -> Result<Source> {
        let Some(WasmImage::Layers(layers)) = self.facts.map(|facts| &facts.wasm) else {
            bail!("the image's config links layers, and it has none: build it anew")
        };
        let piece = |(name, digest): (&String, &Digest)| {
            let is_it = |layer: &&Descriptor| {
                layer.digest == *digest && layer.title().is_some_and(|title| same_title(title, name))
            };
            let layer = layers.iter().find(is_it).with_context(|| {
                let name = name.escape_debug();
                format!("the image's config links «{name}» ({digest}), and no layer is that: build it anew")
            })?;
            Ok(Piece { name: name.clone(), ..Piece::layer(layer) })
        };
        let pieces = plan.components.iter().map(piece).collect::<Result<Vec<_>>>()?;
        Source::linked(pieces, Linking::Plan(plan.clone()))
    }
}

fn same_title(one: &str, other: &str) -> bool {
    one.trim_start_matches('/') == other.trim_start_matches('/')
}

impl Source {
    fn alone(piece: Piece) -> Source {
        Source { digest: piece.digest, name: piece.name.clone(), pieces: vec![piece], linking: None }
    }

    fn linked(pieces: Vec<Piece>, linking: Linking) -> Result<Source> {
        if pieces.len() > MOST_PIECES {
            bail!("{} components would be linked; the limit is {MOST_PIECES}", pieces.len());
        }
        // Those of a plan are a stranger's.
        let names: Vec<String> = pieces.iter().map(|piece| piece.name.escape_debug().to_string()).collect();
        let name = names.join(" + ");
        let inputs: Vec<_> = pieces.iter().map(|piece| (&piece.name, piece.digest)).collect();
        let digest = Digest::of(&serde_json::to_vec(&(inputs, &linking))?);
        Ok(Source { digest, name, pieces, linking: Some(linking) })
    }

    /// The bytes, copied to where nobody can change them, checked against their digests. Only a cache miss needs them.
    pub async fn bytes(&self, containerd: Option<&Containerd>) -> Result<Input> {
        let memfd = rustix::fs::memfd_create("wasm", rustix::fs::MemfdFlags::CLOEXEC)
            .context("cannot make room for the Wasm")?;
        let mut file = File::from(memfd);
        let mut parts = Vec::new();
        for piece in &self.pieces {
            let begin = file.stream_position()?;
            let size = piece.copy(containerd, &mut file, MAX_WASM.saturating_sub(begin)).await?;
            parts.push(Part { name: piece.name.clone(), size });
        }
        file.rewind()?;
        let parts = self.linking.clone().map(|linking| Parts { parts, linking });
        Ok(Input { file, parts })
    }
}

impl Piece {
    fn layer(layer: &Descriptor) -> Piece {
        let name =
            layer.title().map_or_else(|| layer.digest.to_string(), |title| title.escape_debug().to_string());
        Piece { digest: layer.digest, name, origin: Origin::Layer(layer.clone()) }
    }

    fn file(rootfs: BorrowedFd<'_>, path: &Path) -> Result<Piece> {
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
        file.rewind()?;
        let mut hasher = Hasher::default();
        std::io::copy(&mut file, &mut hasher).with_context(|| format!("cannot read {}", path.display()))?;
        file.rewind()?;
        Ok(Piece { digest: hasher.finish(), name: path.display().to_string(), origin: Origin::File(file) })
    }

    /// Adds it, of at most `limit` bytes, to `into`. Returns its size.
    async fn copy(&self, containerd: Option<&Containerd>, into: &mut File, limit: u64) -> Result<u64> {
        let begin = into.stream_position()?;
        match &self.origin {
            Origin::Layer(layer) => {
                let containerd = containerd.context("no containerd to read the image from")?;
                containerd.copy(&layer.digest, limit, into).await?;
            }
            Origin::File(file) => {
                // One byte more tells that there are too many: its digest is another's then.
                std::io::copy(&mut file.try_clone()?.take(limit.saturating_add(1)), into)
                    .context("cannot read the Wasm")?;
            }
        }
        let size = into.stream_position()? - begin;
        if size > limit {
            bail!(
                "{} and what it is linked with have more than the {MAX_WASM} bytes that they may have",
                self.name
            );
        }
        let mut hasher = Hasher::default();
        into.seek(SeekFrom::Start(begin))?;
        std::io::copy(into, &mut hasher)?;
        if hasher.finish() != self.digest {
            bail!("the Wasm {} is not what its digest {} says", self.name, self.digest);
        }
        Ok(size)
    }
}
