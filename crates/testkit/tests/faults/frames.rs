//! The shim's services under random frames: whatever comes, it answers with an error or hangs up, does nothing, and serves on.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use protobuf::Message;
use testkit::{Bundle, Dice, Generation, Nest, alone, eventually, tell};
use ttrpc::Request;
use ttrpc::proto::KeyValue;

use super::works;

/// How many connections, and how many frames on each.
const CONNECTIONS: u64 = 300;
const FRAMES: u64 = 20;

const SERVICES: [&str; 6] = [
    "containerd.task.v2.Task",
    "containerd.task.v3.Task",
    "containerd.runtime.sandbox.v1.Sandbox",
    "run.wasm.v1.Diagnosis",
    "",
    "no.such.Service",
];

const METHODS: [&str; 28] = [
    "State",
    "Create",
    "Start",
    "Delete",
    "Pids",
    "Pause",
    "Resume",
    "Checkpoint",
    "Kill",
    "Exec",
    "ResizePty",
    "CloseIO",
    "Update",
    "Wait",
    "Stats",
    "Connect",
    "Shutdown",
    "CreateSandbox",
    "StartSandbox",
    "Platform",
    "StopSandbox",
    "WaitSandbox",
    "SandboxStatus",
    "PingSandbox",
    "ShutdownSandbox",
    "SandboxMetrics",
    "UpdateSandbox",
    "",
];

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ids and paths that a message may have; none is one of a container that there is.
const WORDS: [&str; 8] = ["", "/", "..", "../../etc/passwd", "/proc/self/fd/3", "a\0b", "nobody", "\u{202e}"];

/// What the shim's memory may grow by, in KiB: the longest of these frames has 4 MiB.
const GROWTH: u64 = 16 * 1024;

/// Fields of random numbers and kinds, as protobuf writes them, or what looks like none.
fn payload(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..dice.throw(8) {
        let (field, kind) = (1 + dice.throw(15), dice.throw(6));
        bytes.push((field << 3 | kind) as u8);
        match kind {
            0 => bytes.extend([0xff; 9].iter().take(dice.throw(10) as usize).chain(&[1])),
            2 => {
                let text = match (dice.throw(3), dice.pick(&WORDS)) {
                    (0, _) | (_, None) => dice.bytes(100),
                    (_, Some(word)) => word.as_bytes().to_vec(),
                };
                bytes.push(if dice.throw(8) == 0 { 120 } else { text.len() as u8 });
                bytes.extend(text);
            }
            _ => bytes.extend(dice.bytes(8)),
        }
    }
    bytes
}

fn frame(dice: &mut Dice) -> Result<Vec<u8>> {
    let pick =
        |dice: &mut Dice, from: &[&str]| dice.pick(from).map_or_else(String::new, |word| (*word).to_owned());
    let (service, method) = (pick(dice, &SERVICES), pick(dice, &METHODS));
    let key = if dice.throw(2) == 0 { "containerd-namespace-ttrpc" } else { "" };
    let namespace = KeyValue { key: key.into(), value: pick(dice, &WORDS), ..KeyValue::default() };
    let mut request =
        Request { service, method, payload: payload(dice), metadata: vec![namespace], ..Request::default() };
    if dice.throw(2) == 0 {
        request.timeout_nano = i64::from_le_bytes(std::array::from_fn(|_| dice.throw(256) as u8));
    }
    let mut message = request.write_to_bytes()?;
    match dice.throw(4) {
        0 => message.truncate(dice.throw(message.len() as u64 + 1) as usize),
        1 => message.extend(dice.bytes(16)),
        _ => {}
    }
    let length = match dice.throw(40) {
        0 => u32::MAX,
        1 => 4 << 20,
        2 => 0,
        _ => u32::try_from(message.len())?,
    };
    let (stream, kind) = (dice.throw(8) as u32, if dice.throw(10) == 0 { dice.throw(256) as u8 } else { 1 });
    let flags = if dice.throw(10) == 0 { dice.throw(256) as u8 } else { 0 };
    Ok([&length.to_be_bytes()[..], &stream.to_be_bytes(), &[kind, flags], &message].concat())
}

/// Open files and resident memory in KiB of the one shim.
fn held(nest: &Nest) -> Result<(usize, u64)> {
    let shims = nest.shims()?;
    let shim = shims.first().context("the shim has ended")?.pid;
    let status = fs::read_to_string(format!("/proc/{shim}/status"))?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no memory")?;
    let memory = memory.trim().trim_end_matches(" kB").parse()?;
    Ok((fs::read_dir(format!("/proc/{shim}/fd"))?.count(), memory))
}

#[test]
fn random_frames_change_nothing() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "calm", "sleep.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        shim.create()?;
        shim.start()?;
        eventually("it runs", 30, || Ok(shim.output().contains("sleeping")))?;
        let (files, memory) = held(nest)?;
        let mut answered = 0;
        for number in 0..CONNECTIONS {
            let mut dice = Dice::new(number, 7);
            let mut connection = shim.connect()?;
            connection.set_read_timeout(Some(PATIENCE))?;
            for _ in 0..1 + dice.throw(FRAMES) {
                // It may have hung up already.
                drop(connection.write_all(&frame(&mut dice)?));
            }
            connection.shutdown(Shutdown::Write).ok();
            let mut answers = Vec::new();
            // A reset is an answer, too.
            drop(connection.read_to_end(&mut answers));
            answered += usize::from(!answers.is_empty());
        }
        ensure!(answered > 0, "no frame was so much as answered");
        tell(&format!(
            "{CONNECTIONS} connections with up to {FRAMES} random frames each: {answered} were answered"
        ));
        eventually("it has closed what it opened for them", 30, || Ok(held(nest)?.0 <= files))?;
        let grown = held(nest)?.1.saturating_sub(memory);
        ensure!(grown <= GROWTH, "it has grown by {grown} KiB");
        shim.kill(15)?;
        assert_eq!(shim.wait()?, 143, "the container ran on");
        shim.delete()?;
        shim.shutdown()?;
        works(nest, "calm")
    })
}
