//! What the JSON beside a program asks for. See `doc/specification.md` of the suite.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;

/// A step of a test.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Operation {
    Run(Run),
    /// Closes stdin and waits for the end.
    Wait {
        #[serde(default)]
        exit_code: i32,
    },
    /// `payload` comes next on `stdout` or `stderr`.
    Read {
        #[serde(default = "stdout")]
        id: String,
        #[serde(default)]
        payload: String,
    },
    /// To stdin. The specification does not mention it; the suite's own runner has it.
    Write {
        id: String,
        payload: String,
    },
    /// The program says `address:port` in a line, and is connected to under a name.
    Connect {
        #[serde(default = "server")]
        id: String,
        #[serde(default = "tcp")]
        protocol_type: String,
    },
    Send {
        id: String,
        #[serde(default)]
        payload: String,
    },
    Recv {
        id: String,
        #[serde(default)]
        payload: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Run {
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// The folder that is the program's `/`, beside the JSON.
    pub root: Option<String>,
    /// Whether the program is one about sockets.
    #[serde(skip)]
    pub network: bool,
}

fn stdout() -> String {
    "stdout".to_owned()
}

fn server() -> String {
    "server".to_owned()
}

fn tcp() -> String {
    "tcp".to_owned()
}

/// Both forms of the file: with `operations`, and the older one that says in a few words what they come to.
#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    world: Option<String>,
    proposals: Vec<String>,
    /// Not looked at before it is known that the program is a command.
    operations: Option<serde_json::Value>,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    root: Option<String>,
    exit_code: i32,
    stdout: String,
    stderr: String,
}

/// The steps of a test whose JSON this is; a reason where this release has no way to run it.
pub fn parse(json: &[u8]) -> Result<Result<Vec<Operation>, String>> {
    let file: File = serde_json::from_slice(json)?;
    if let Some(world) = file.world {
        return Ok(Err(format!("its world is {world}, which this release does not run")));
    }
    let network = file.proposals.iter().any(|proposal| proposal == "sockets");
    if let Some(operations) = file.operations {
        let mut operations: Vec<Operation> = serde_json::from_value(operations)?;
        for operation in &mut operations {
            if let Operation::Run(run) = operation {
                run.network = network;
            }
        }
        return Ok(Ok(operations));
    }
    let File { args, env, root, stdout, stderr, exit_code, .. } = file;
    let mut operations = vec![Operation::Run(Run { args, env, root, network })];
    for (id, payload) in [("stdout", stdout), ("stderr", stderr)] {
        operations.push(Operation::Read { id: id.to_owned(), payload });
    }
    operations.push(Operation::Wait { exit_code });
    Ok(Ok(operations))
}
