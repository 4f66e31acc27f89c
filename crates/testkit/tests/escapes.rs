//! A corpus of escapes: hostile guests, each after something that its grants do not give. It is printed what each got, and
//! how many were tried, stopped, and got through.
//!
//! Every attempt is a case with a target that can be seen from outside, and it is made twice: once where nothing keeps it
//! from its target (the control, in which it has to get there, or it would prove nothing), once as a pod would have it.
//! An attempt is an entry of one of the modules below.

#[path = "escapes/attempt.rs"]
mod attempt;
#[path = "escapes/endless.rs"]
mod endless;
#[path = "escapes/links.rs"]
mod links;
#[path = "escapes/memory.rs"]
mod memory;
#[path = "escapes/mounts.rs"]
mod mounts;
#[path = "escapes/network.rs"]
mod network;
#[path = "escapes/paths.rs"]
mod paths;
#[path = "escapes/races.rs"]
mod races;
#[path = "escapes/readonly.rs"]
mod readonly;
#[path = "escapes/scene.rs"]
mod scene;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use testkit::{Containerd, Tally, Version};

use attempt::Attempt;

/// All of the corpus, family by family.
const CORPUS: [&[Attempt]; 8] = [
    paths::ATTEMPTS,
    links::ATTEMPTS,
    readonly::ATTEMPTS,
    mounts::ATTEMPTS,
    races::ATTEMPTS,
    memory::ATTEMPTS,
    endless::ATTEMPTS,
    network::ATTEMPTS,
];

fn main() -> Result<ExitCode> {
    let daemon = Containerd::start(Version::V2_1)?;
    let (mut tally, mut escaped) = (Tally::default(), 0);
    for attempt in CORPUS.iter().copied().flatten().filter(|attempt| testkit::wanted(attempt.name)) {
        escaped += attempt.make(&daemon, &mut tally);
    }
    if let Err(why) = works(&daemon) {
        tally.fail("the node after all of it", why);
    }
    let (stopped, tried) = (tally.passed(), tally.passed() + tally.failed());
    println!("\nescapes: {tried} tried, {stopped} stopped, {escaped} escaped");
    if tally.failed() > 0 {
        println!("\ncontainerd's log:\n{}", daemon.log_end());
    }
    Ok(tally.report())
}

/// After all of it an ordinary container runs as if nothing had been, and nothing is left behind.
fn works(daemon: &Containerd) -> Result<()> {
    let hello = daemon.run("hello.wasm").outcome()?;
    ensure!(hello.code == 0 && hello.stdout == "hello from run-wasm\n", "{hello}");
    daemon.nest().assert_clean()
}
