//! `compose`: what it costs to be made of several components: a call from one to another, the making of the image, and its
//! size beside that of one native program that does the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::containerd::{Containerd, ctr};
use crate::options::Options;
use crate::peer::Peer;
use crate::report::Report;
use crate::sample::{Case, interleaved};

/// The least calls of a run. What a start costs is in every run alike, so that it is in no difference of two.
const FEW: u32 = 1_000_000;

/// A command that calls COUNT times, and fails when their sum is not SUM.
const LOOP: &str = r#"
        (func (export "run") (result i32)
            (local $left i32) (local $sum i32)
            (local.set $left (i32.const COUNT))
            (loop $again
                (local.set $sum (call $add (local.get $sum) (local.get $left)))
                (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (i32.ne (local.get $sum) (i32.const SUM)))"#;

const RUN: &str = r#"
    (func $run (result (result)) (canon lift (core func $guest "run")))
    (instance $exports (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $exports))"#;

const ADD: &str =
    r#"(func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))"#;

/// Who is called is in the same component, or in another.
#[derive(Debug, Clone, Copy)]
enum Callee {
    Own,
    Other,
}

/// The image of a command that calls so often.
struct Calls {
    name: String,
    count: u32,
}

pub fn measure(containerd: &Containerd, options: &Options, report: &mut Report) -> Result<()> {
    let project = options.folder.join("polyglot");
    let image = project.join("polyglot.tar");
    let folder = options.folder.join("compose");
    fs::create_dir(&folder)?;
    let many = FEW + options.calls;
    let mut cases = Vec::new();
    for callee in [Callee::Other, Callee::Own] {
        let [few, many] = [FEW, many].map(|count| pack(callee, count, &folder));
        let (few, many) = (few?, many?);
        let run = move |id: &str| Ok((seconds(&many, id)? - seconds(&few, id)?) * 1e9 / per(&few, &many));
        let name = match callee {
            Callee::Other => "call_ns",
            Callee::Own => "own_call_ns",
        };
        cases.push(Case { name: name.into(), run: Box::new(run) });
    }
    containerd.import(&folder.join("images"))?;
    let build = |_: &str| {
        let begin = Instant::now();
        run_wasm(["build".as_ref(), "--quiet".as_ref(), project.as_os_str()])?;
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    };
    cases.push(Case { name: "build_ms".into(), run: Box::new(build) });
    for (name, sample) in &interleaved("compose", options.compose_rounds, true, &mut cases)? {
        report.sample(&format!("compose.{name}"), sample);
    }
    report.ratio("compose.call_vs_own_call", "compose.call_ns", "compose.own_call_ns");
    report.value("compose.image_bytes", bytes(&image)?);
    report.value("compose.oci_image_bytes", bytes(&options.folder.join("images/native-polyglot.tar"))?);
    report.ratio("compose.image_bytes_vs_oci_image", "compose.image_bytes", "compose.oci_image_bytes");
    Ok(())
}

/// How long a container lives that calls so often.
fn seconds(calls: &Calls, id: &str) -> Result<f64> {
    let (image, id) = (format!("localhost/{}:1", calls.name), format!("{id}-{}", calls.count));
    let words = ["run", "--rm"].into_iter().chain(Peer::Normal.flags().iter().copied());
    let begin = Instant::now();
    ctr(words.chain([image.as_str(), id.as_str()]))?;
    Ok(begin.elapsed().as_secs_f64())
}

/// By how many calls two differ.
fn per(few: &Calls, many: &Calls) -> f64 {
    f64::from(many.count - few.count)
}

/// Composes where there is something to compose, and packs; the image is in the folder `images`.
fn pack(callee: Callee, count: u32, folder: &Path) -> Result<Calls> {
    let name = match callee {
        Callee::Own => format!("calls-own-{count}"),
        Callee::Other => format!("calls-{count}"),
    };
    let app = write(folder, &format!("{name}.wat"), &command(callee, count))?;
    let component = match callee {
        Callee::Own => app,
        Callee::Other => {
            let provider = write(folder, "math.wat", &provider())?;
            let composed = folder.join(format!("{name}.wasm"));
            let parts = [app.as_os_str(), "--plug".as_ref(), provider.as_os_str()];
            let to = ["--world".as_ref(), "command".as_ref(), "-o".as_ref(), composed.as_os_str()];
            run_wasm(["compose".as_ref()].into_iter().chain(parts).chain(to))?;
            composed
        }
    };
    let images = folder.join("images");
    fs::create_dir_all(&images)?;
    let (image, tar) = (format!("localhost/{name}:1"), images.join(format!("{name}.tar")));
    run_wasm([
        "image".as_ref(),
        "--name".as_ref(),
        image.as_ref(),
        "--output".as_ref(),
        tar.as_os_str(),
        component.as_os_str(),
    ])?;
    Ok(Calls { name, count })
}

fn command(callee: Callee, count: u32) -> String {
    let sum = (1..=count).fold(0, u32::wrapping_add);
    let body = LOOP.replace("COUNT", &count.to_string()).replace("SUM", &sum.to_string());
    match callee {
        Callee::Own => format!(
            r#"(component
    (core module $module {ADD} {body})
    (core instance $guest (instantiate $module)) {RUN})"#
        ),
        Callee::Other => format!(
            r#"(component
    (import "bench:math/add@0.1.0" (instance $math
        (export "add" (func (param "a" u32) (param "b" u32) (result u32)))))
    (core func $add (canon lower (func $math "add")))
    (core module $module
        (import "math" "add" (func $add (param i32 i32) (result i32))) {body})
    (core instance $guest (instantiate $module
        (with "math" (instance (export "add" (func $add)))))) {RUN})"#
        ),
    }
}

fn provider() -> String {
    format!(
        r#"(component
    (core module $module {ADD})
    (core instance $guest (instantiate $module))
    (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $guest "add")))
    (instance $exports (export "add" (func $add)))
    (export "bench:math/add@0.1.0" (instance $exports)))"#
    )
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn run_wasm<'a>(words: impl IntoIterator<Item = &'a std::ffi::OsStr>) -> Result<()> {
    let mut command = Command::new("run-wasm");
    let output = command.args(words).stdin(Stdio::null()).output().context("cannot run run-wasm")?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn bytes(file: &Path) -> Result<f64> {
    let metadata = fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(metadata.len() as f64)
}
