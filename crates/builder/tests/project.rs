//! Projects in folders, built as their people build them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};
use async_trait::async_trait;
use builder::project::{Built, Event, Format, LOCK_FILE, Options, Output, Source, build};
use image::{Digest, Document, ImageConfig, Manifest, media};
use semver::{Version, VersionReq};
use tempfile::TempDir;

const RUN: &str = r#"(instance $i) (export "wasi:cli/run@0.2.0" (instance $i))"#;

fn app() -> String {
    format!(r#"(component (import "a:math/add@0.1.0" (instance)) {RUN})"#)
}

const MATH: &str = r#"(component (instance $i) (export "a:math/add@0.1.0" (instance $i)))"#;

const TWO: &str = r#"name = "calc"
version = "1.2.0"
[components]
app = "app.wat"
math = "math.wat"
[graph]
root = "app"
"#;

/// For projects whose components are all their own.
struct NoRegistry;

#[async_trait]
impl Source for NoRegistry {
    async fn resolve(&self, repository: &str, _: &VersionReq) -> Result<(Version, Digest)> {
        bail!("{repository} is in a registry, and this build has none")
    }

    async fn fetch(&self, repository: &str, _: &Digest) -> Result<Vec<u8>> {
        bail!("{repository} is in a registry, and this build has none")
    }
}

struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| folder.put(name, text));
        folder
    }

    fn two() -> Folder {
        Folder::with(&[("run.toml", TWO), ("app.wat", &app()), ("math.wat", MATH)])
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn lock(&self) -> String {
        fs::read_to_string(self.path(LOCK_FILE)).unwrap()
    }

    fn build_by(&self, source: &dyn Source, options: &Options) -> (Result<Built>, Vec<Event>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = events.clone();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let tell = move |event: &Event| seen.lock().unwrap().push(event.clone());
        let built = runtime.block_on(build(self.0.path(), source, options, tell));
        drop(runtime);
        let events = events.lock().unwrap().clone();
        (built, events)
    }

    fn build(&self) -> Built {
        self.build_by(&NoRegistry, &Options::default()).0.unwrap()
    }

    fn refused(&self, options: &Options) -> String {
        format!("{:#}", self.build_by(&NoRegistry, options).0.unwrap_err())
    }
}

fn locked() -> Options {
    Options { locked: true, ..Options::default() }
}

fn manifest(built: &Built) -> Manifest {
    match image::manifest::parse(built.layout.manifest_bytes(), media::OCI_MANIFEST).unwrap() {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => panic!("it is a manifest"),
    }
}

/// All files below a folder, with their content.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.push((path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn components_become_one_image() {
    let folder = Folder::two();
    let (built, events) = folder.build_by(&NoRegistry, &Options::default());
    let built = built.unwrap();
    let manifest = manifest(&built);
    assert_eq!(manifest.layers.len(), 1);
    assert_eq!(manifest.layers[0].title(), Some("calc.wasm"));
    assert_eq!(manifest.annotations["org.opencontainers.image.version"], "1.2.0");
    let wasm = built.layout.blob(&manifest.layers[0].digest).unwrap();
    assert!(image::inspect(wasm).unwrap().imports.is_empty());
    assert!(matches!(events.as_slice(), [Event::Composed { components: 2, links: 1, .. }]), "{events:?}");
}

#[test]
fn two_builds_in_two_folders_are_equal_byte_for_byte() {
    let (one, two) = (Folder::two(), Folder::two());
    for format in [Format::Image, Format::Artifact, Format::Layers] {
        let options = Options { format: Some(format), created: 1_735_689_600, ..Options::default() };
        let images = [&one, &two].map(|folder| {
            let built = folder.build_by(&NoRegistry, &options).0.unwrap();
            built.write(&Output::Tar(folder.path("image.tar"))).unwrap();
            built.write(&Output::Oci(folder.path("image"))).unwrap();
            (
                built.digest(),
                fs::read(folder.path("image.tar")).unwrap(),
                tree(&folder.path("image")),
                folder.lock(),
            )
        });
        assert_eq!(images[0], images[1]);
    }
    let later = Options { created: 1, ..Options::default() };
    assert_ne!(one.build().digest(), one.build_by(&NoRegistry, &later).0.unwrap().digest());
}

#[test]
fn layers_link_to_what_an_image_would_have_held() {
    let folder = Folder::two();
    let whole = folder.build();
    let whole = whole.layout.blob(&manifest(&whole).layers[0].digest).unwrap().to_vec();
    let options = Options { format: Some(Format::Layers), ..Options::default() };
    let built = folder.build_by(&NoRegistry, &options).0.unwrap();
    let manifest = manifest(&built);
    let titles: Vec<_> = manifest.layers.iter().map(|layer| layer.title().unwrap()).collect();
    assert_eq!(titles, ["app.wasm", "math.wasm"]);
    let config = ImageConfig::parse(built.layout.blob(&manifest.config.digest).unwrap()).unwrap();
    assert_eq!(manifest.is_confirmed_by(&config), Ok(true));
    let plan = config.composition.unwrap();
    assert_eq!(plan.root, "app.wasm");
    let components: Vec<_> = manifest
        .layers
        .iter()
        .map(|layer| image::compose::Component {
            name: layer.title().unwrap(),
            bytes: built.layout.blob(&layer.digest).unwrap(),
        })
        .collect();
    let linked = plan.compose(&components).unwrap();
    // Names for debuggers are all that differs, and they are longer by `.wasm`.
    assert_eq!(image::inspect(&linked).unwrap().exports, image::inspect(&whole).unwrap().exports);
}

#[test]
fn build_commands_run_in_their_folders_at_the_same_time() {
    // Each waits for the other's mark: one after the other they would never end.
    let command = |mine: &str, other: &str| {
        format!(
            "touch ../{mine}; until test -e ../{other}; do sleep 0.01; done; cp in.wat out.wat; echo $SOURCE_DATE_EPOCH > time"
        )
    };
    let file = format!(
        "name = \"calc\"\nversion = \"1.0.0\"\n[graph]\nroot = \"app\"\n\
         [components.app]\ndir = \"app\"\nbuild = \"{}\"\noutput = \"out.wat\"\n\
         [components.math]\ndir = \"math\"\nbuild = \"{}\"\noutput = \"out.wat\"\n",
        command("a", "b"),
        command("b", "a")
    );
    let folder = Folder::with(&[("run.toml", &file), ("app/in.wat", &app()), ("math/in.wat", MATH)]);
    if std::thread::available_parallelism().unwrap().get() < 2 {
        return;
    }
    let (built, events) = folder.build_by(&NoRegistry, &Options { created: 7, ..Options::default() });
    built.unwrap();
    assert_eq!(fs::read_to_string(folder.path("app/time")).unwrap(), "7\n");
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Built { .. })).count(), 2);
}

#[test]
fn a_command_that_fails_tells_what_it_said_and_nothing_is_written() {
    let file = "name = \"x\"\nversion = \"1.0.0\"\n[components.x]\nbuild = \"echo no such crate >&2; exit 3\"\noutput = \"x.wasm\"\n";
    let folder = Folder::with(&[("run.toml", file)]);
    let (built, events) = folder.build_by(&NoRegistry, &Options::default());
    let sentence = format!("{:#}", built.unwrap_err());
    assert!(sentence.contains("component «x» was not built: `echo no such crate"), "{sentence}");
    assert!(sentence.ends_with("exit status: 3"), "{sentence}");
    assert_eq!(
        events.last(),
        Some(&Event::Failed { component: "x".into(), output: "no such crate\n".into() })
    );
    assert!(!folder.path(LOCK_FILE).exists());
}

#[test]
fn a_locked_build_refuses_drift_by_its_name() {
    let folder = Folder::two();
    assert!(folder.refused(&locked()).contains("build once without --locked"));
    let digest = folder.build().digest();
    let lock = folder.lock();
    let (again, _) = folder.build_by(&NoRegistry, &locked());
    assert_eq!(again.unwrap().digest(), digest);

    folder.put("math.wat", &MATH.replace("a:math/add@0.1.0", "a:math/add@0.1.1"));
    let sentence = folder.refused(&locked());
    assert!(
        sentence.contains("the Wasm of «math» (sha256:") && sentence.contains("without --locked"),
        "{sentence}"
    );
    folder.put("math.wat", MATH);
    folder.put("run.toml", &format!("{TWO}[run]\nargs = [\"x\"]\n[labels]\na = \"b\"\n"));
    let sentence = folder.refused(&locked());
    assert!(sentence.contains("«labels» of run.toml, «run» of run.toml changed"), "{sentence}");
    assert_eq!(folder.lock(), lock);
    folder.build();
    assert_ne!(folder.lock(), lock);
}

#[test]
fn a_toolchain_that_changed_is_drift_before_anything_is_built() {
    let file = "name = \"x\"\nversion = \"1.0.0\"\n[components.x]\nbuild = \"touch built; cp in.wat x.wat\"\noutput = \"x.wat\"\ntools = [\"sh-version-of-a-test\"]\n";
    let folder = Folder::with(&[("run.toml", file), ("in.wat", &format!("(component {RUN})"))]);
    let sentence = folder.refused(&Options::default());
    assert!(
        sentence.contains("component «x» needs sh-version-of-a-test") && sentence.contains("install it"),
        "{sentence}"
    );
    folder.put("run.toml", &file.replace("sh-version-of-a-test", "cargo"));
    folder.build();
    let lock = folder.lock();
    let line = lock.lines().find(|line| line.starts_with("cargo = \"cargo 1.")).unwrap();
    folder.put(LOCK_FILE, &lock.replace(line, "cargo = \"cargo 0.1.0\""));
    fs::remove_file(folder.path("built")).unwrap();
    let sentence = folder.refused(&locked());
    assert!(
        sentence.contains("cargo («cargo 1.") && sentence.contains("instead of «cargo 0.1.0»)"),
        "{sentence}"
    );
    assert!(!folder.path("built").exists());
}

#[test]
fn a_damaged_lock_is_refused_by_its_line() {
    let folder = Folder::two();
    folder.build();
    let lock = folder.lock();
    folder.put(LOCK_FILE, &lock.replace("form = 1", "form = 2"));
    assert!(folder.refused(&Options::default()).contains("has the form 2"));
    folder.put(LOCK_FILE, &lock.replace("form = 1", "form = 1\nfurm = 1"));
    let sentence = folder.refused(&Options::default());
    assert!(
        sentence.contains("remove it and build again") && sentence.contains("did you mean «form»?"),
        "{sentence}"
    );
}

/// Two versions of a component, and how often somebody looked for one.
struct Versions(Mutex<Vec<(Version, Vec<u8>)>>, Mutex<usize>);

#[async_trait]
impl Source for Versions {
    async fn resolve(&self, repository: &str, wanted: &VersionReq) -> Result<(Version, Digest)> {
        *self.1.lock().unwrap() += 1;
        let versions = self.0.lock().unwrap();
        match versions.iter().filter(|(version, _)| wanted.matches(version)).max() {
            Some((version, bytes)) => Ok((version.clone(), Digest::of(bytes))),
            None => bail!("{repository} has no {wanted}"),
        }
    }

    async fn fetch(&self, repository: &str, digest: &Digest) -> Result<Vec<u8>> {
        match self.0.lock().unwrap().iter().find(|(_, bytes)| Digest::of(bytes) == *digest) {
            Some((_, bytes)) => Ok(bytes.clone()),
            None => bail!("{repository} has no {digest}"),
        }
    }
}

#[test]
fn a_dependency_stays_at_its_version_until_it_is_updated() {
    let file = TWO.replace("math = \"math.wat\"", "math = \"registry.example/ns/math@^0.1\"");
    let folder = Folder::with(&[("run.toml", &file), ("app.wat", &app())]);
    let version = |text: &str, wat: &str| (Version::parse(text).unwrap(), wat::parse_str(wat).unwrap());
    let source = Versions(Mutex::new(vec![version("0.1.0", MATH)]), Mutex::new(0));
    let build = |options: &Options| {
        folder.build_by(&source, options).0.map(|built| built.lock.components["math"].clone())
    };
    let first = build(&Options::default()).unwrap();
    let pin = first.pin.clone().unwrap();
    assert_eq!(
        (pin.repository.as_str(), pin.version.to_string().as_str()),
        ("registry.example/ns/math", "0.1.0")
    );

    let newer = MATH.replace("(component", "(component (type string)");
    source.0.lock().unwrap().push(version("0.1.7", &newer));
    assert_eq!(build(&Options::default()).unwrap(), first);
    assert_eq!(build(&locked()).unwrap(), first);
    assert_eq!(*source.1.lock().unwrap(), 1);
    let updated = build(&Options { update: true, ..Options::default() }).unwrap();
    assert_eq!(updated.pin.unwrap().version.to_string(), "0.1.7");

    source.0.lock().unwrap().clear();
    let sentence = format!("{:#}", build(&Options::default()).unwrap_err());
    assert!(sentence.contains("component «math»: registry.example/ns/math has no sha256:"), "{sentence}");
}

#[test]
fn a_layout_replaces_a_layout_and_nothing_else() {
    let folder = Folder::two();
    let built = folder.build();
    let to = folder.path("out");
    built.write(&Output::Oci(to.clone())).unwrap();
    let files = tree(&to);
    built.write(&Output::Oci(to.clone())).unwrap();
    assert_eq!(tree(&to), files);
    assert_eq!(
        fs::read_dir(folder.0.path()).unwrap().count(),
        5,
        "run.toml, its lock, two sources, the layout"
    );
    folder.put("precious/file", "x");
    let sentence = built.write(&Output::Oci(folder.path("precious"))).unwrap_err().to_string();
    assert!(sentence.contains("is there and no OCI layout"), "{sentence}");
    assert!(built.write(&Output::Oci(folder.path("no/such/out"))).is_err());
    assert_eq!(fs::read_to_string(folder.path("precious/file")).unwrap(), "x");
}

#[test]
fn a_module_of_preview_1_is_packed_as_it_is() {
    let file = "name = \"x\"\nversion = \"1.0.0\"\n[components]\nx = \"x.wat\"\n";
    let folder = Folder::with(&[("run.toml", file), ("x.wat", "(module (func (export \"_start\")))")]);
    let built = folder.build();
    let layers = manifest(&built).layers;
    assert_eq!(image::sniff(built.layout.blob(&layers[0].digest).unwrap()), image::Kind::Module);
    assert!(
        folder
            .refused(&Options { format: Some(Format::Layers), ..Options::default() })
            .contains("one core module")
    );
}
