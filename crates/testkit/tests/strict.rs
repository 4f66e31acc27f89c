//! The strict profile: the same guests, run again and again while all changes that must not matter, give the same output,
//! exit code and reason, byte for byte. Then the calls that it ends a guest for, each with its sentence.
//!
//! Most runs call the shim as containerd does; some go through containerd.

#![allow(clippy::indexing_slicing, reason = "the spec of a bundle has these fields")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::{Bundle, Containerd, Generation, Nest, Tally, Version};

/// How often each guest of the corpus runs, and how often of these by containerd.
const RUNS: usize = 100;
const BY_CONTAINERD: usize = 3;

/// A guest with its arguments and what it is granted beside `run.wasm/profile: strict`.
struct Case {
    name: &'static str,
    file: &'static str,
    args: &'static [&'static str],
    granted: &'static [(&'static str, &'static str)],
    /// What it ends with.
    code: i32,
}

impl Case {
    /// Whether it reads stdin: only then is there one.
    fn reads(&self) -> bool {
        self.file.starts_with("world.")
    }

    /// Its memory limit, in bytes: only who goes beyond it has one.
    fn memory(&self) -> Option<u64> {
        self.file.starts_with("memory-step.").then_some(16 << 20)
    }
}

const ALL: &[(&str, &str)] = &[("run.wasm/clock", "frozen"), ("run.wasm/random", "seed:42")];
const RANDOM: &[(&str, &str)] = &[("run.wasm/random", "seed:42")];

#[rustfmt::skip]
const CORPUS: &[Case] = &[
    Case { name: "Rust, p2: maps, files, time, NaN", file: "world.wasm", args: &["/data"], granted: ALL, code: 0 },
    Case { name: "Rust, p1: maps, files, time, NaN", file: "world.p1.wasm", args: &["/data"], granted: ALL, code: 0 },
    Case { name: "C, p2: inodes, links, times", file: "inodes.wasm", args: &["/data"], granted: &[], code: 0 },
    Case { name: "C, p1: inodes, links, times", file: "inodes.p1.wasm", args: &["/data"], granted: &[], code: 0 },
    Case { name: "WAT: relaxed SIMD, NaN, growth", file: "numbers.p1.wasm", args: &[], granted: &[], code: 0 },
    Case { name: "JavaScript", file: "hello-js.wasm", args: &[], granted: ALL, code: 0 },
    Case { name: "Python", file: "hello-py.wasm", args: &[], granted: ALL, code: 0 },
    Case { name: "growth of a memory", file: "memory-hog.wasm", args: &["32"], granted: ALL, code: 0 },
    Case { name: "growth beyond its limit, page by page", file: "memory-step.p1.wasm", args: &[], granted: &[], code: 137 },
    Case { name: "recursion without end", file: "overflow.wasm", args: &[], granted: RANDOM, code: 134 },
    Case { name: "computing without end", file: "spin.wasm", args: &[], granted: ALL, code: 134 },
];

/// Guests that need what they are not granted, and the call that ends them.
#[rustfmt::skip]
const DENIED: &[(Case, &str)] = &[
    (Case { name: "clock, p2", file: "clocks.wasm", args: &[], granted: RANDOM, code: 134 }, "`wasi:clocks/monotonic-clock#now`"),
    (Case { name: "clock, p1", file: "clocks.p1.wasm", args: &[], granted: RANDOM, code: 134 }, "`wasi_snapshot_preview1#clock_time_get`"),
    (Case { name: "waiting, p1", file: "sleep.p1.wasm", args: &["1"], granted: RANDOM, code: 134 }, "`wasi_snapshot_preview1#"),
    (Case { name: "random, p2", file: "world.wasm", args: &["/data"], granted: &[], code: 134 }, "`wasi:random/"),
    (Case { name: "random, p1", file: "world.p1.wasm", args: &["/data"], granted: &[], code: 134 }, "`wasi_snapshot_preview1#random_get`"),
    (Case { name: "socket", file: "sockets.wasm", args: &["connect", "127.0.0.1:80"], granted: RANDOM, code: 134 }, "`wasi:sockets/tcp-create-socket#create-tcp-socket`"),
    (Case { name: "datagram", file: "sockets.wasm", args: &["udp", "127.0.0.1:80"], granted: RANDOM, code: 134 }, "`wasi:sockets/udp-create-socket#create-udp-socket`"),
    (Case { name: "name", file: "sockets.wasm", args: &["resolve", "localhost"], granted: RANDOM, code: 134 }, "`wasi:sockets/ip-name-lookup#resolve-addresses`"),
    (Case { name: "HTTP", file: "http.wasm", args: &["http://127.0.0.1/"], granted: RANDOM, code: 134 }, "`wasi:http/outgoing-handler#handle`"),
];

/// A guest that spins has to end: a tenth of a second of it is enough.
const NODE: &str = "[limits]\nfuel = 100_000_000";

/// What containerd puts before the environment that it is asked for.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What they read from stdin: once from a file, once from a pipe.
const INPUT: &[u8] = b"some input\n";

/// The output, and the exit code.
type End = (Vec<u8>, i32);

fn main() -> Result<ExitCode> {
    let nest = Nest::new()?;
    let daemon = Containerd::start(Version::V2_1)?;
    let mut tally = Tally::default();
    let mut runs = 0;
    println!("{:<40} {:>6} {:>18} {:>10}", "guest", "runs", "distinct outputs", "exit code");
    for case in CORPUS.iter().filter(|case| testkit::wanted(case.name)) {
        match ends(&nest, &daemon, case) {
            Ok(ends) => {
                runs += RUNS;
                println!("{:<40} {RUNS:>6} {:>18} {:>10}", case.name, ends.len(), case.code);
                match verdict(case, &ends) {
                    Ok(()) => tally.pass(),
                    Err(error) => tally.fail(case.name, error),
                }
            }
            Err(error) => tally.fail(case.name, error),
        }
    }
    println!("{runs} runs\n\ncalls that trapped:");
    for (case, call) in DENIED.iter().filter(|(case, _)| testkit::wanted(case.name)) {
        match denied(&nest, case, call) {
            Ok(sentence) => {
                println!("  {sentence}");
                tally.pass();
            }
            Err(error) => tally.fail(case.name, error),
        }
    }
    for left in [nest.assert_clean(), daemon.nest().assert_clean()] {
        if let Err(left) = left {
            tally.fail("to leave nothing behind", left);
        }
    }
    Ok(tally.report())
}

/// All the different ends of a guest of the corpus, and how often each was seen.
fn ends(nest: &Nest, daemon: &Containerd, case: &Case) -> Result<BTreeMap<End, usize>> {
    let mut ends = BTreeMap::new();
    for run in 0..RUNS {
        let end = match run < BY_CONTAINERD {
            true => by_containerd(daemon, case, run)?,
            false => by_shim(nest, case, run)?,
        };
        *ends.entry(end).or_default() += 1;
    }
    Ok(ends)
}

fn verdict(case: &Case, ends: &BTreeMap<End, usize>) -> Result<()> {
    let told: Vec<_> = ends
        .iter()
        .map(|((output, code), count)| format!("{count} times {code}: {}", output.escape_ascii()))
        .collect();
    ensure!(ends.len() == 1, "{}", told.join("\n"));
    ensure!(
        ends.keys().all(|(output, code)| *code == case.code && !output.is_empty()),
        "{}",
        told.join("\n")
    );
    Ok(())
}

/// One run as containerd would ask for it; the run's number changes what must not matter.
fn by_shim(nest: &Nest, case: &Case, run: usize) -> Result<End> {
    let id = format!("{}-{run}", case.file.replace('.', "-"));
    let args: Vec<_> = std::iter::once(format!("/{}", case.file))
        .chain(case.args.iter().map(|arg| (*arg).to_owned()))
        .collect();
    let mut annotations = serde_json::Map::from_iter([("run.wasm/profile".to_owned(), json!("strict"))]);
    annotations.extend(case.granted.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    let bundle = Bundle::of(nest, &id, case.file)?;
    let bundle = if case.reads() { bundle.stdin(INPUT)? } else { bundle };
    let bundle = bundle.config(NODE)?.environment(&format!("NODE_RUN={run}")).spec(|spec| {
        spec["process"]["args"] = json!(args);
        spec["process"]["env"] = json!([PATH, "INPUT=yes"]);
        spec["root"]["readonly"] = json!(false);
        spec["annotations"] = annotations.into();
        if let Some(limit) = case.memory() {
            spec["linux"]["resources"]["memory"]["limit"] = json!(limit);
        }
    })?;
    fill(&bundle.rootfs().join("data"), run)?;
    let shim = bundle.shim(Generation::V3)?;
    let code = shim.run()?;
    let output = fs::read(bundle.path().join("output")).context("the container's output")?;
    shim.shutdown()?;
    Ok((output, i32::try_from(code)?))
}

/// The same through containerd, where stdout and stderr come apart.
fn by_containerd(daemon: &Containerd, case: &Case, run: usize) -> Result<End> {
    let folder = daemon.nest().folder().join(format!("data-{}-{run}", case.file));
    fill(&folder, run)?;
    let container = daemon
        .run(case.file)
        .config(NODE)
        .flag("--env=INPUT=yes")
        .mount(&folder, "/data", "rbind:rw")
        .annotation("run.wasm/profile", "strict")
        .args(case.args.iter().copied());
    let container = case.granted.iter().fold(container, |run, (name, value)| run.annotation(name, value));
    let container = if case.reads() { container.stdin(INPUT) } else { container };
    let container = case.memory().into_iter().fold(container, |run, limit| run.memory(limit));
    let outcome = container.outcome()?;
    fs::remove_dir_all(&folder)?;
    Ok((format!("{}{}", outcome.stdout, outcome.stderr).into_bytes(), outcome.code))
}

/// A folder with the same files, made in another order, at another time, with other inodes.
fn fill(folder: &Path, run: usize) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut names = vec!["a", "b", "c", "d", "e", "empty", "zebra", "Zebra", "ähre"];
    let count = names.len();
    names.rotate_left(run % count);
    if run % 2 == 1 {
        names.reverse();
    }
    for name in names {
        // What is made and removed leaves holes in the order of inodes and of directories.
        let hole = folder.join(format!("hole-{name}-{run}"));
        fs::write(&hole, "")?;
        fs::write(folder.join(name), if name == "empty" { "" } else { name })?;
        fs::remove_file(hole)?;
        let time = SystemTime::now() - Duration::from_secs(run as u64 * 1000);
        File::options().append(true).open(folder.join(name))?.set_modified(time)?;
    }
    fs::create_dir(folder.join("folder"))?;
    for file in 0..run {
        fs::write(folder.join("folder").join(format!("file-{file}")), "")?;
    }
    Ok(())
}

/// The sentence with which a guest ends that calls what it is not granted.
fn denied(nest: &Nest, case: &Case, call: &str) -> Result<String> {
    let (output, code) = by_shim(nest, case, 0)?;
    let output = String::from_utf8_lossy(&output).into_owned();
    ensure!(code == case.code, "it ended with {code}: {output}");
    let sentences: BTreeSet<_> = output.lines().filter(|line| line.contains("is not allowed")).collect();
    let sentence = sentences.iter().find(|sentence| sentence.starts_with(call)).context(output.clone())?;
    ensure!(sentence.contains("run.wasm/"), "{sentence}");
    Ok((*sentence).to_owned())
}
