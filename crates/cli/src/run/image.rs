//! What is run: a file, an image, or what a project builds.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use builder::project::{self, Event, PROJECT_FILE};
use builder::registry::{self, Client, Dependencies, Platforms, Reference, Silent, Source, Store};
use image::compose::MAX_COMPONENTS;
use image::config::Process;
use image::manifest::{ARCHITECTURE, MAX_DEPTH};
use image::{Descriptor, Document, ImageConfig, Kind, Manifest, WasmImage, component, media};

use super::channel::{Content, in_memory};

/// The largest Wasm that a node runs, and the most that is unpacked, in bytes: the layers of an image together have no more.
const MAX_LAYER: u64 = 1 << 30;

/// How the names of files begin that take away those of lower layers (OCI image spec, "Whiteouts").
const WHITEOUT: &str = ".wh.";

/// What a container is made of.
#[derive(Debug)]
pub struct Program {
    /// What the guest's root has, each in a file of its own.
    pub files: Vec<(Content, OwnedFd)>,
    /// Whether its root is nothing but Wasm, and so closed.
    pub is_wasm: bool,
    /// `args[0]`.
    pub entry: Vec<String>,
    /// What stands behind it when nothing else is said.
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub user: Option<String>,
    pub folder: Option<String>,
    /// Whether it serves HTTP.
    pub serves: bool,
}

/// Finds `what`: a file of Wasm, an image in a file or folder, a project's folder, or a name in a registry.
///
/// # Errors
/// A sentence that says what it could be.
pub async fn find(what: &str, tell: impl Fn(&Event) + Send + Sync + 'static) -> Result<Program> {
    let path = Path::new(what);
    if path.join(PROJECT_FILE).is_file() {
        let source = Dependencies(Client::new(registry::Options::default(), Arc::new(Silent))?);
        let options = project::Options { created: crate::pack::created()?, ..project::Options::default() };
        let built = project::build(path, &source, &options, tell).await?;
        return of(&Source::layout(built.layout));
    }
    if path.is_dir() {
        if !path.join("oci-layout").is_file() {
            bail!(
                "{what} has neither a {PROJECT_FILE} nor an image: name a project, an image or a .wasm file"
            );
        }
        return of(&Source::open(path, None)?);
    }
    if path.is_file() {
        let mut head = Vec::new();
        let file = File::open(path).with_context(|| format!("cannot open {what}"))?;
        file.take(4096).read_to_end(&mut head).with_context(|| format!("cannot read {what}"))?;
        return match image::sniff(&head) {
            Kind::Unknown => of(&Source::open(path, None)?),
            _ => alone(path),
        };
    }
    let reference: Reference = what.parse().with_context(|| {
        format!("there is no file or folder {}, and it is no name of an image", what.escape_debug())
    })?;
    let client = Client::new(registry::Options::default(), Arc::new(Silent))?;
    let store = Store::of_user()?;
    let pulled = client.pull(&reference, Platforms::Best, &store).await?;
    of(&Source::stored(&store, pulled.image))
}

fn alone(path: &Path) -> Result<Program> {
    let bytes = builder::wasm::read(path)?;
    let name = crate::pack::title(path)?;
    Ok(Program {
        serves: serves(&bytes),
        files: vec![(Content::File(PathBuf::from(&name)), in_memory(&bytes)?)],
        is_wasm: true,
        entry: vec![format!("/{name}")],
        args: Vec::new(),
        env: Vec::new(),
        user: None,
        folder: None,
    })
}

fn serves(bytes: &[u8]) -> bool {
    image::inspect(bytes).is_ok_and(|seen| matches!(seen.world, image::inspect::World::HttpServer(_)))
}

/// The image of a layout.
pub fn of(source: &Source) -> Result<Program> {
    let manifest = manifest(source)?;
    refuse_too_large(&manifest.layers)?;
    let document = source.document(&manifest.config)?;
    let process = Process::parse(&document)?;
    let entry = process.entrypoint.filter(|words| !words.is_empty());
    let mut program = Program {
        files: Vec::new(),
        is_wasm: true,
        args: process.cmd.unwrap_or_default(),
        entry: Vec::new(),
        env: process.env.unwrap_or_default(),
        user: process.user.filter(|user| !user.is_empty()),
        folder: process.working_dir.filter(|folder| !folder.is_empty()),
        serves: false,
    };
    match manifest.wasm(MAX_LAYER)? {
        WasmImage::Artifact(layer) => program.wasm(entry, &[layer], None, source)?,
        WasmImage::Layers(layers) => {
            if manifest.layers.iter().any(|layer| is_of_root(&layer.media_type)) {
                bail!(
                    "the image has layers of Wasm and a root file system beside them, which only a node has: pack the Wasm into \
                     the root file system, or run the .wasm file with --volume"
                );
            }
            let config = ImageConfig::parse(&document)?;
            let fetch = |layer: &Descriptor| -> Result<Vec<u8>> { Ok(source.blob(layer, MAX_LAYER)?) };
            let linked = match config.composition {
                Some(_) => Some(component::of_image(&manifest, &config, fetch)?),
                None => None,
            };
            program.wasm(entry, &layers, linked, source)?;
        }
        WasmImage::None => {
            program.is_wasm = false;
            program.entry = entry.unwrap_or_default();
            for layer in &manifest.layers {
                if layer.media_type != media::OCI_LAYER_TAR {
                    bail!(
                        "the image has a layer {}, and only tars that are not compressed are run here: pack it by run-wasm image",
                        layer.media_type
                    );
                }
                let tar = source.blob(layer, MAX_LAYER)?;
                refuse_whiteouts(&tar)?;
                program.files.push((Content::Layer, in_memory(&tar)?));
            }
        }
    }
    if program.entry.is_empty() && !program.args.is_empty() {
        program.entry.push(program.args.remove(0));
    }
    if program.entry.is_empty() {
        bail!("the image names no program: pack it with an entry point");
    }
    Ok(program)
}

impl Program {
    /// Wasm layers become files of the root, for a shim without a containerd to ask for layers. `linked`: what they amount to,
    /// where the image links them.
    fn wasm(
        &mut self,
        entry: Option<Vec<String>>,
        layers: &[Descriptor],
        linked: Option<Vec<u8>>,
        source: &Source,
    ) -> Result<()> {
        let first = layers.first().and_then(Descriptor::title).unwrap_or("app.wasm");
        let entry = entry.unwrap_or_else(|| vec![format!("/{first}")]);
        let (path, _) = entry.first().map_or(("", ""), |word| word.split_once('#').unwrap_or((word, "")));
        let chosen = image::entry::choose(layers, path)?;
        for layer in layers {
            let is_entry = layer.digest == chosen.digest && layer.title() == chosen.title();
            let (name, bytes) = match (&linked, is_entry) {
                (Some(linked), true) => (path, linked.clone()),
                (Some(_), false) => continue,
                (None, true) => (path, source.blob(layer, MAX_LAYER)?),
                (None, false) => match layer.title() {
                    Some(title) => (title, source.blob(layer, MAX_LAYER)?),
                    None => continue,
                },
            };
            if is_entry {
                self.serves = serves(&bytes);
            }
            self.files.push((Content::File(PathBuf::from(name)), in_memory(&bytes)?));
        }
        self.entry = entry;
        Ok(())
    }
}

/// Before any of it is in memory.
fn refuse_too_large(layers: &[Descriptor]) -> Result<()> {
    if layers.len() > MAX_COMPONENTS {
        bail!("the image has {} layers; the limit is {MAX_COMPONENTS}", layers.len());
    }
    let size = layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.size));
    if size > MAX_LAYER {
        bail!("the layers of the image have {size} bytes; the limit is {MAX_LAYER}");
    }
    Ok(())
}

/// Whether a node unpacks such a layer.
fn is_of_root(media_type: &str) -> bool {
    ["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."]
        .into_iter()
        .any(|beginning| media_type.starts_with(beginning) && !media::is_wasm_layer(media_type))
}

/// Layers are unpacked over each other here, which takes nothing away.
fn refuse_whiteouts(tar: &[u8]) -> Result<()> {
    let unreadable = "a layer of the image is no tar that can be read";
    for entry in tar::Archive::new(tar).entries().context(unreadable)? {
        let entry = entry.context(unreadable)?;
        let path = entry.path().context(unreadable)?;
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WHITEOUT)) {
            bail!(
                "a layer of the image takes away files of another ({}), which only a node does: pack its files into one layer",
                path.display().to_string().escape_debug()
            );
        }
    }
    Ok(())
}

fn manifest(source: &Source) -> Result<Manifest> {
    let mut wanted = source.root().clone();
    for _ in 0..=MAX_DEPTH {
        let bytes = source.document(&wanted)?;
        match image::manifest::parse(&bytes, &wanted.media_type)? {
            Document::Manifest(manifest) => return Ok(manifest),
            Document::Index(index) => wanted = index.pick(ARCHITECTURE)?.clone(),
        }
    }
    bail!("the image's indexes are nested deeper than {MAX_DEPTH}")
}

#[cfg(test)]
mod tests {
    use image::ImageBuilder;
    use image::build::Layout;

    use super::*;

    const HELLO: &[u8] = b"\0asm\x01\0\0\0";

    fn files(names: &[&str]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, &b""[..]).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn refused(layout: Layout) -> String {
        format!("{:#}", of(&Source::layout(layout)).unwrap_err())
    }

    #[test]
    fn what_only_a_node_unpacks_is_refused() {
        let root = |names: &[&str]| ImageBuilder::new().layer("root", media::OCI_LAYER_TAR, files(names));
        let both = root(&["etc/data"]).wasm("app.wasm", HELLO.to_vec()).build().unwrap();
        assert!(refused(both).contains("a root file system beside them"));
        let sentence = refused(root(&["a", "etc/.wh.passwd"]).build().unwrap());
        assert!(sentence.contains("takes away files of another (etc/.wh.passwd)"), "{sentence}");
        of(&Source::layout(root(&["app.wh.wasm"]).build().unwrap())).unwrap();
    }

    #[test]
    fn layers_are_counted_and_summed_before_they_are_read() {
        let many = (0..=MAX_COMPONENTS)
            .fold(ImageBuilder::new(), |image, number| image.wasm(format!("{number}.wasm"), HELLO.to_vec()));
        assert_eq!(refused(many.build().unwrap()), "the image has 257 layers; the limit is 256");
        let half = Descriptor {
            media_type: media::WASM.into(),
            digest: image::Digest::of(b""),
            size: MAX_LAYER / 2,
            annotations: std::collections::BTreeMap::new(),
        };
        assert!(refuse_too_large(&[half.clone(), half.clone()]).is_ok());
        let third = Descriptor { size: 1, ..half.clone() };
        let sentence = refuse_too_large(&[half.clone(), half, third]).unwrap_err().to_string();
        assert!(sentence.contains("have 1073741825 bytes"), "{sentence}");
    }
}
