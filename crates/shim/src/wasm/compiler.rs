//! The compiler: a process of its own, jailed like a host, that gets an input, an output and nothing else.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use grants::policy::Compile;
use host::engine::Build;
use host::jail::Jail;
use host::protocol::Role;
use image::Digest;
use rustix::process::{Pid, setpriority_process};

use super::source::Input;
use crate::host_process::{COMPILER, HostProcess, Refused};
use crate::netns::Network;

/// Its streams, input and output, and what its threads wait by.
const OPEN_FILES: u64 = 64;

/// The least that a process can have of a busy processor (setpriority(2)).
const IDLE: i32 = 19;

/// Compiles `input` into `output`, in the time that nobody else of its cgroup wants if it is done `idly`. A refusal is one sentence about
/// the Wasm.
pub async fn compile(
    digest: &Digest,
    build: Build,
    Input { file, parts }: Input,
    output: &File,
    limits: &Compile,
    idly: bool,
) -> Result<()> {
    let compiler = HostProcess::start(COMPILER, &digest.to_string(), None, &Network::New)?;
    let work = async {
        if idly {
            // Before it has threads: they take it over.
            setpriority_process(Pid::from_raw(compiler.pid()), IDLE)
                .context("cannot make the compiler wait")?;
        }
        compiler
            .enter(jail(limits), &Network::New, None, Role::Compiler, None)
            .await
            .context("the compiler's jail")?;
        match compiler.compile(build, parts, file.as_fd(), output.as_fd()).await {
            Ok(()) => Ok(()),
            Err(Refused::Broken(error)) => Err(error.context("the compiler failed")),
            Err(refused) => bail!(refused),
        }
    };
    let result = match tokio::time::timeout(limits.timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!(
            "compiling took longer than the {} s of compile.timeout in the node config",
            limits.timeout.as_secs()
        )),
    };
    compiler.end().await;
    result
}

fn jail(limits: &Compile) -> Jail {
    Jail {
        oom_score_adj: Some(500),
        compiler: true,
        memory: Some(limits.memory.0),
        ..Jail::nobodys(OPEN_FILES)
    }
}
