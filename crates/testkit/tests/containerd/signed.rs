//! Images that the node's policy wants signed: by whom, of what, and where the signatures come from.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use image::{Digest, Format, ImageBuilder};
use serde_json::{Value, json};
use testkit::peers::{Authority, settle};
use testkit::{Containerd, Registry, Run, command_line, eventually, guest};

/// A registry by TLS, which both releases of containerd pull from. What is pushed is pushed to the same one by its other address.
const HOST: &str = "203.0.113.7";
const INWARD: &str = "127.0.0.1:5000";
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A registry, whom containerd trusts by the roots of the node.
struct World<'a> {
    daemon: &'a Containerd,
    registries: RefCell<Vec<Registry<'a>>>,
}

impl<'a> World<'a> {
    fn new(daemon: &'a Containerd) -> Result<World<'a>> {
        let nest = daemon.nest();
        settle(nest, HOST)?;
        let authority = Authority::new()?;
        fs::write(nest.folder().join("roots.pem"), authority.pem())?;
        let mount =
            nest.command("mount").arg("--bind").arg(nest.folder().join("roots.pem")).arg(ROOTS).status()?;
        ensure!(mount.success(), "the nest cannot have roots of its own");
        let (plain, secure) = (Registry::start(nest)?, Registry::secure(nest, HOST, &authority)?);
        let world = World { daemon, registries: RefCell::new(vec![plain, secure]) };
        for owner in ["team", "stranger"] {
            world.run_wasm(&["sign", "--generate-key", &world.path(owner)])?;
        }
        Ok(world)
    }

    fn path(&self, name: &str) -> String {
        self.daemon.nest().folder().join(name).display().to_string()
    }

    fn run_wasm(&self, words: &[&str]) -> Result<String> {
        let output = command_line(self.daemon.nest())?.args(words).output().context("cannot run run-wasm")?;
        ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// Packs a guest as `<HOST>/<name>:1` and pushes it.
    fn image(&self, name: &str, file: &str) -> Result<Image<'_, 'a>> {
        let reference = format!("{HOST}/{name}:1");
        self.pushed(name, ImageBuilder::new().wasm(file, guest(file)?).to_oci_tar(&reference)?)
    }

    fn pushed(&self, name: &str, bytes: Vec<u8>) -> Result<Image<'_, 'a>> {
        let tar = self.daemon.nest().folder().join(format!("{}.tar", name.replace('/', "-")));
        fs::write(&tar, bytes)?;
        let inward = format!("{INWARD}/{name}");
        let pushed = self.run_wasm(&["push", &tar.display().to_string(), &format!("{inward}:1")])?;
        let at = pushed.rfind("sha256:").with_context(|| format!("no digest in {pushed}"))?;
        let digest = pushed.get(at..).unwrap_or_default().to_owned();
        let repository = format!("{HOST}/{name}");
        Ok(Image { world: self, reference: format!("{repository}:1"), repository, inward, tar, digest })
    }

    /// The same below an index, which the name leads to. Answers the manifest's digest, too.
    fn index(&self, name: &str, file: &str) -> Result<(Image<'_, 'a>, String)> {
        let reference = format!("{HOST}/{name}:1");
        let (tar, manifest) =
            below_an_index(&ImageBuilder::new().wasm(file, guest(file)?).to_oci_tar(&reference)?)?;
        Ok((self.pushed(name, tar)?, manifest))
    }

    /// A node config whose images of `prod` have to be signed.
    fn policy(&self) -> String {
        format!("[[require-signature]]\nprefix = \"{HOST}/prod/\"\nkeys = [\"{}\"]\n", self.path("team.pub"))
    }

    fn no_registry(&self) -> Result<()> {
        self.registries.take().into_iter().try_for_each(Registry::stop)
    }

    fn end(self) -> Result<()> {
        self.no_registry()?;
        ensure!(self.daemon.nest().command("umount").arg(ROOTS).status()?.success(), "the roots stay");
        Ok(())
    }
}

struct Image<'w, 'a> {
    world: &'w World<'a>,
    repository: String,
    inward: String,
    reference: String,
    tar: PathBuf,
    digest: String,
}

impl Image<'_, '_> {
    fn sign(&self, owner: &str) -> Result<()> {
        let key = self.world.path(&format!("{owner}.key"));
        self.world.run_wasm(&["sign", &format!("{}:1", self.inward), "--key", &key]).map(drop)
    }

    /// The name of its signatures.
    fn signatures(&self) -> String {
        format!("{}:{}.sig", self.repository, self.digest.replace(':', "-"))
    }

    fn run(&self) -> Run<'_> {
        self.world.daemon.run_tar(&self.tar, &self.reference).config(&self.world.policy())
    }

    fn refusal(&self) -> Result<String> {
        self.run().outcome()?.refusal()
    }

    /// Once it is signed. A manager repeats for a while what it said before.
    fn runs(&self) -> Result<()> {
        eventually("the signed image runs", 60, || Ok(self.run().outcome()?.code == 0))
    }

    fn ctr(&self, words: &[&str]) -> Result<String> {
        self.world.daemon.ctr(words.iter().copied())?.success()
    }
}

/// An OCI layout whose one manifest is put below an index for this machine's platform; with the manifest's digest.
fn below_an_index(layout: &[u8]) -> Result<(Vec<u8>, String)> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for entry in tar::Archive::new(layout).entries()? {
        let mut entry = entry?;
        let (name, mut bytes) = (entry.path()?.display().to_string(), Vec::new());
        entry.read_to_end(&mut bytes)?;
        if entry.header().entry_type().is_file() {
            files.insert(name, bytes);
        }
    }
    let mut top: Value = serde_json::from_slice(files.get("index.json").context("no index.json")?)?;
    let entry = top.pointer_mut("/manifests/0").context("no manifest")?;
    let (digest, size) = (entry["digest"].clone(), entry["size"].clone());
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": size,
            "platform": { "os": "linux", "architecture": image::manifest::ARCHITECTURE },
        }],
    });
    let index = index.to_string().into_bytes();
    entry["mediaType"] = "application/vnd.oci.image.index.v1+json".into();
    entry["digest"] = Digest::of(&index).to_string().into();
    entry["size"] = index.len().into();
    files.insert(format!("blobs/sha256/{}", Digest::of(&index).hex()), index);
    files.insert("index.json".to_owned(), top.to_string().into_bytes());
    let mut packed = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(bytes.len())?);
        header.set_mode(0o644);
        packed.append_data(&mut header, name, bytes.as_slice())?;
    }
    Ok((packed.into_inner()?, digest.as_str().context("no digest")?.to_owned()))
}

testkit::stories! {
    fn of_an_index_or_the_manifest_that_it_leads_to_one_has_to_be_signed(daemon) {
        let world = World::new(daemon)?;
        let (by_index, _) = world.index("prod/by-index", "hello.wasm")?;
        assert!(by_index.refusal()?.contains(&by_index.digest));
        by_index.sign("team")?;
        by_index.runs()?;
        let (by_manifest, manifest) = world.index("prod/by-manifest", "hello-c.wasm")?;
        assert!(by_manifest.refusal()?.contains("has no signature"));
        let key = world.path("team.key");
        world.run_wasm(&["sign", &format!("{}@{manifest}", by_manifest.inward), "--key", &key])?;
        by_manifest.runs()?;
        world.end()?;
    }

    fn an_unsigned_image_is_refused_and_runs_once_it_is_signed(daemon) {
        let world = World::new(daemon)?;
        let image = world.image("prod/hello", "hello.wasm")?;
        let refused = image.refusal()?;
        let named = format!("{}@{}", image.repository, image.digest);
        for word in [named.as_str(), "has no signature", "require-signature «203.0.113.7/prod/»", "team.pub", "run-wasm sign"] {
            assert!(refused.contains(word), "{word} is not in {refused}");
        }
        let elsewhere = world.image("test/hello", "hello-c.wasm")?;
        assert_eq!(elsewhere.run().outcome()?.stdout, "hello from c\n", "no rule is about it");
        image.sign("team")?;
        image.runs()?;
        assert!(image.ctr(&["images", "ls", "-q"])?.contains(&image.signatures()), "containerd keeps what it has fetched");
        world.end()?;
    }

    fn a_signature_by_another_key_does_not_count(daemon) {
        let world = World::new(daemon)?;
        let image = world.image("prod/hello", "hello.wasm")?;
        image.sign("stranger")?;
        let refused = image.refusal()?;
        assert!(refused.contains("is signed by another key than") && refused.contains("team.pub"), "{refused}");
        let both = format!(
            "[[require-signature]]\nprefix = \"\"\nkeys = [\"{}\", '''\n{}''']\n",
            world.path("team.pub"),
            fs::read_to_string(world.path("stranger.pub"))?
        );
        assert_eq!(image.run().config(&both).outcome()?.stdout, "hello from run-wasm\n", "any of the keys will do");
        // Now containerd has signatures, and they are older than the one that counts.
        image.sign("team")?;
        image.runs()?;
        world.end()?;
    }

    fn a_signature_of_another_image_does_not_count(daemon) {
        let world = World::new(daemon)?;
        let (signed, other) = (world.image("prod/signed", "hello.wasm")?, world.image("prod/other", "hello-c.wasm")?);
        signed.sign("team")?;
        signed.runs()?;
        signed.ctr(&["images", "tag", &signed.signatures(), &other.signatures()])?;
        let refused = other.refusal()?;
        assert!(refused.contains("is of another image") && refused.contains(&signed.digest), "{refused}");
        // The signed image's name leads to the other one.
        signed.ctr(&["images", "tag", "--force", &other.reference, &signed.reference])?;
        let moved = daemon.run_tar(&other.tar, &signed.reference).config(&world.policy()).outcome()?.refusal()?;
        assert!(moved.contains(&other.digest), "{moved}");
        world.end()?;
    }

    fn a_node_without_a_registry_has_signatures_imported(daemon) {
        let world = World::new(daemon)?;
        let image = world.image("prod/hello", "hello.wasm")?;
        image.sign("team")?;
        let tar = world.path("signatures.tar");
        world.run_wasm(&["pull", &image.signatures(), "--output", &tar, "--ca-file", &world.path("roots.pem")])?;
        world.no_registry()?;
        let refused = image.refusal()?;
        assert!(refused.contains("cannot be found out") && refused.contains(&image.signatures()) && refused.contains("import"), "{refused}");
        daemon.ctr(["images", "import", "--local", "--all-platforms", "--no-unpack", &tar])?.success()?;
        image.runs()?;
        world.end()?;
    }

    fn another_name_of_the_same_image_is_no_way_around_the_rule(daemon) {
        let world = World::new(daemon)?;
        let image = world.image("prod/hello", "hello.wasm")?;
        assert!(image.refusal()?.contains("has no signature"));
        image.ctr(&["images", "tag", &image.reference, "other.example/hello:1"])?;
        let renamed = daemon.run_tar(&image.tar, "other.example/hello:1").config(&world.policy()).outcome()?.refusal()?;
        assert!(renamed.contains("require-signature «203.0.113.7/prod/»"), "{renamed}");
        world.end()?;
    }

    fn signatures_are_fetched_by_the_hosts_file_of_the_registry(daemon) {
        // containerd 1.7 has no such files for what it fetches by itself.
        if daemon.version() == testkit::Version::V1_7 {
            return Ok(());
        }
        let world = World::new(daemon)?;
        let image = world.image("prod/hello", "hello.wasm")?;
        image.sign("team")?;
        let hosts = daemon.nest().folder().join("hosts");
        fs::create_dir_all(hosts.join("registry.example"))?;
        fs::write(hosts.join("registry.example/hosts.toml"), format!("server = \"http://{INWARD}\"\n"))?;
        image.ctr(&["images", "import", "--local", &image.tar.display().to_string()])?;
        image.ctr(&["images", "tag", &image.reference, "registry.example/prod/hello:1"])?;
        image.ctr(&["images", "rm", "--sync", &image.reference])?;
        let policy = format!(
            "registry-hosts = \"{}\"\n[[require-signature]]\nprefix = \"registry.example/\"\nkeys = [\"{}\"]\n",
            hosts.display(),
            world.path("team.pub")
        );
        let said = daemon.run_named("registry.example/prod/hello:1").config(&policy).outcome()?;
        assert_eq!(said.stdout, "hello from run-wasm\n", "{said}");
        world.end()?;
    }

    fn an_exec_runs_no_file_that_its_signed_image_may_not_have_had(daemon) {
        let world = World::new(daemon)?;
        let files = ImageBuilder::new().format(Format::Rootfs).entrypoint(["/sleep.wasm"]);
        let files = files.rootfs_file("/sleep.wasm", guest("sleep.wasm")?, 0o644);
        let image = world.pushed("prod/files", files.to_oci_tar(&format!("{HOST}/prod/files:1"))?)?;
        image.sign("team")?;
        let volume = daemon.nest().folder().join("volume");
        fs::create_dir(&volume)?;
        fs::write(volume.join("hello.wasm"), guest("hello.wasm")?)?;
        let run = image.run().program("/sleep.wasm").args(["3600"]).mount(&volume, "/volume", "rbind:ro");
        let mut sleep = run.spawn()?;
        sleep.says("sleeping")?;
        let hello = daemon.exec(sleep.id()).args(["/volume/hello.wasm"]).outcome()?;
        assert!(hello.code != 0 && hello.stderr.contains("require-signature"), "{hello}");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
        drop(sleep);
        world.end()?;
    }

    fn a_container_without_an_image_is_refused_where_all_have_to_be_signed(daemon) {
        let root = daemon.nest().folder().join("root");
        fs::create_dir(&root)?;
        fs::write(root.join("hello.wasm"), guest("hello.wasm")?)?;
        let run = |policy: &str| {
            daemon.run_folder(&root).program("/hello.wasm").config(policy).outcome()
        };
        let key = "'''-----BEGIN PUBLIC KEY-----\n'''";
        let some = format!("[[require-signature]]\nprefix = \"registry.example/\"\nkeys = [{key}]\n");
        assert_eq!(run(&some)?.stdout, "hello from run-wasm\n");
        let all = run(&format!("[[require-signature]]\nprefix = \"\"\nkeys = [{key}]\n"))?.refusal()?;
        assert!(all.contains("require-signature «»") && all.contains("signed image"), "{all}");
    }
}
