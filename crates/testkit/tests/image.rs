//! Images that `run-wasm` makes, from a project to a container: built twice alike, pushed to a real registry, read and made by
//! others' tools, pulled by their digests and run by ctr and by CRI.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::{Nest, Node, Outcome, Registry, command_line, guest};

/// Whatever `run-wasm` says of a digest ends with it.
const DIGEST: usize = "sha256:".len() + 64;

fn run_wasm(nest: &Nest, words: &[&str]) -> Result<String> {
    let output = command_line(nest)?.args(words).output().context("cannot run run-wasm")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
    .success()
}

/// The digest at the end of the last line.
fn digest(said: &str) -> Result<String> {
    let line = said.trim_end();
    let digest = line.len().checked_sub(DIGEST).and_then(|begin| line.get(begin..));
    let digest = digest.filter(|digest| digest.starts_with("sha256:"));
    Ok(digest.with_context(|| format!("no digest at the end of {said}"))?.to_owned())
}

/// A project of one guest, in a folder of its own.
fn project(folder: &Path, file: &str, format: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(file), guest(file)?)?;
    let text = format!(
        "name = \"hello\"\nversion = \"1.2.3\"\n[components]\nhello = \"{file}\"\n[output]\nformat = \"{format}\"\n"
    );
    Ok(fs::write(folder.join("run.toml"), text)?)
}

/// Builds it into a tar. Answers its digest.
fn build(nest: &Nest, folder: &Path, tar: &Path) -> Result<String> {
    let output = format!("tar:{}", tar.display());
    digest(&run_wasm(nest, &["build", &folder.display().to_string(), "--output", &output])?)
}

/// Runs an image in a pod of its own; what it wrote.
fn in_a_pod(node: &Node, image: &str) -> Result<String> {
    let pod = node.pod("built").run()?;
    let container = pod.container("app", image).start()?;
    let end = container.end()?;
    assert_eq!((end.exit_code, end.reason.as_str()), (0, "Completed"), "{end:?} {:?}", container.log()?);
    let output = container.output("stdout")?;
    pod.remove()?;
    Ok(output)
}

/// Reads what a program says that is no part of this project.
fn others(nest: &Nest, program: &str, words: &[&str]) -> Result<Value> {
    let output =
        nest.command(program).args(words).output().with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}

testkit::pod_stories! {
    fn a_project_is_built_pushed_pulled_by_its_digest_and_run_by_ctr_and_by_cri(node) {
        let (nest, registry) = (node.nest(), Registry::start(node.nest())?);
        for (format, file) in [("image", "hello.wasm"), ("artifact", "hello.wasm"), ("image", "hello.p1.wasm")] {
            let (folder, tar) = (nest.folder().join("project"), nest.folder().join("project.tar"));
            project(&folder, file, format)?;
            let built = build(nest, &folder, &tar)?;
            let name = format!("127.0.0.1:5000/team/{format}:{}", file.replace('.', "-"));
            let pushed = digest(&run_wasm(nest, &["push", &tar.display().to_string(), &name])?)?;
            assert_eq!(built, pushed, "{name}");
            let by_digest = format!("127.0.0.1:5000/team/{format}@{built}");
            node.pull(&by_digest)?;
            assert_eq!(in_a_pod(node, &by_digest)?, "hello from run-wasm\n", "{name}");
            // `ctr run` knows no config but an image's.
            if format == "image" {
                let ctr = |words: &[&str]| node.containerd().ctr(words.iter().copied())?.success();
                ctr(&["images", "pull", "--local", "--plain-http", &by_digest])?;
                let said = ctr(&["run", "--rm", "--runtime", "io.containerd.run.v2", &by_digest, "by-ctr"])?;
                assert_eq!(said, "hello from run-wasm\n", "{name}");
            }
            fs::remove_dir_all(&folder)?;
        }
        registry.stop()?;
    }

    fn two_builds_in_different_folders_have_one_digest(node) {
        let nest = node.nest();
        for format in ["image", "artifact", "layers"] {
            let mut digests = Vec::new();
            for place in ["here", "some/where/else"] {
                let folder = nest.folder().join(place);
                project(&folder, "hello.wasm", format)?;
                let tar = nest.folder().join(format!("{}.tar", digests.len()));
                digests.push((build(nest, &folder, &tar)?, fs::read(&tar)?));
                fs::remove_dir_all(&folder)?;
            }
            assert!(matches!(digests.as_slice(), [one, two] if one == two), "{format}");
        }
    }

    fn tools_of_others_read_our_images_and_ours_read_theirs(node) {
        let (nest, registry) = (node.nest(), Registry::start(node.nest())?);
        let (folder, tar) = (nest.folder().join("project"), nest.folder().join("project.tar"));
        for format in ["image", "artifact"] {
            project(&folder, "hello.wasm", format)?;
            let built = build(nest, &folder, &tar)?;
            let name = format!("127.0.0.1:5000/team/{format}:1.2.3");
            run_wasm(nest, &["publish", &tar.display().to_string(), &name])?;
            let theirs = ["inspect", "--tls-verify=false", "--raw"];
            let read = others(nest, "skopeo", &[theirs.as_slice(), &[&format!("docker://{name}")]].concat())?;
            assert_eq!(read.pointer("/layers/0/mediaType").and_then(Value::as_str), Some("application/wasm"), "{read}");
            // Copied by skopeo, byte for byte, and read by ours.
            let copied = nest.folder().join(format!("{format}-copied"));
            let to = format!("oci:{}:1.2.3", copied.display());
            others(nest, "skopeo", &["copy", "--src-tls-verify=false", &format!("docker://{name}"), &to])?;
            let again = format!("127.0.0.1:5000/other/{format}:1.2.3");
            let pushed = run_wasm(nest, &["push", &copied.display().to_string(), &again])?;
            assert_eq!(digest(&pushed)?, built, "{format}");
            let pulled = nest.folder().join(format!("{format}-pulled"));
            run_wasm(nest, &["pull", &again, "--output", &pulled.display().to_string()])?;
            let index: Value = serde_json::from_slice(&fs::read(pulled.join("index.json"))?)?;
            assert_eq!(index.pointer("/manifests/0/digest").and_then(Value::as_str), Some(built.as_str()), "{index}");
        }
        registry.stop()?;
    }

    fn a_project_depends_on_what_was_published_and_its_lock_keeps_that(node) {
        let (nest, registry) = (node.nest(), Registry::start(node.nest())?);
        let (library, tar) = (nest.folder().join("library"), nest.folder().join("library.tar"));
        project(&library, "hello.wasm", "artifact")?;
        build(nest, &library, &tar)?;
        run_wasm(nest, &["publish", &tar.display().to_string(), "127.0.0.1:5000/team/hello:1.2.3"])?;
        let (folder, image) = (nest.folder().join("consumer"), nest.folder().join("consumer.tar"));
        fs::create_dir_all(&folder)?;
        let text = "name = \"consumer\"\nversion = \"0.1.0\"\n[components]\nhello = \"127.0.0.1:5000/team/hello@^1.2\"\n";
        fs::write(folder.join("run.toml"), text)?;
        let first = build(nest, &folder, &image)?;
        let lock = fs::read_to_string(folder.join("run.lock.toml"))?;
        assert!(lock.contains("1.2.3"), "{lock}");
        // A newer one is there, and nobody has asked for it.
        fs::write(library.join("hello.wasm"), guest("args.wasm")?)?;
        build(nest, &library, &tar)?;
        run_wasm(nest, &["publish", &tar.display().to_string(), "127.0.0.1:5000/team/hello:1.3.0"])?;
        assert_eq!(build(nest, &folder, &image)?, first);
        let words = ["build", &folder.display().to_string(), "--update", "--output", &format!("tar:{}", image.display())];
        assert_ne!(digest(&run_wasm(nest, &words)?)?, first);
        assert!(fs::read_to_string(folder.join("run.lock.toml"))?.contains("1.3.0"));
        registry.stop()?;
    }

    fn a_published_version_is_never_replaced(node) {
        let (nest, registry) = (node.nest(), Registry::start(node.nest())?);
        let (folder, tar) = (nest.folder().join("project"), nest.folder().join("project.tar"));
        let name = "127.0.0.1:5000/team/math:1.2.3";
        project(&folder, "hello.wasm", "image")?;
        build(nest, &folder, &tar)?;
        let tar_text = tar.display().to_string();
        run_wasm(nest, &["publish", &tar_text, name])?;
        run_wasm(nest, &["publish", &tar_text, name])?;
        fs::write(folder.join("hello.wasm"), guest("args.wasm")?)?;
        build(nest, &folder, &tar)?;
        let refused = run_wasm(nest, &["publish", &tar_text, name]).err().context("it was replaced")?.to_string();
        assert!(refused.contains("1.2.3"), "{refused}");
        let tags = run_wasm(nest, &["tags", "127.0.0.1:5000/team/math"])?;
        for tag in ["1.2.3", "1.2", "1", "latest"] {
            assert!(tags.split_whitespace().any(|listed| listed == tag), "{tag}: {tags}");
        }
        registry.stop()?;
    }
}
