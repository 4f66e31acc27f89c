//! A program's run, step by step.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use testkit::{Running, until};

use super::node::Node;
use super::operation::Operation;
use super::program::Program;

/// How long a step may take.
const SECONDS: u64 = 30;

/// Plays all steps. An error is what went otherwise than the suite wants it.
pub fn play(node: &Node, program: &Program, operations: Vec<Operation>) -> Result<()> {
    let mut stage = Stage { node, running: None, read: BTreeMap::new(), connections: BTreeMap::new() };
    let result = operations.into_iter().try_for_each(|operation| stage.step(program, operation));
    if let Some(running) = &mut stage.running {
        // It may have ended by itself meanwhile, which only its outcome tells.
        drop(running.kill("SIGKILL"));
        let end = running.outcome()?;
        return result.with_context(|| format!("stderr: {}", beginning(&end.stderr)));
    }
    result
}

/// What a program complained of first, as one line.
fn beginning(stderr: &str) -> String {
    const LINES: usize = 4;
    stderr.lines().filter(|line| !line.is_empty()).take(LINES).collect::<Vec<_>>().join(" / ")
}

struct Stage<'a> {
    node: &'a Node,
    running: Option<Running<'a>>,
    /// How many bytes of each output were looked at.
    read: BTreeMap<String, usize>,
    connections: BTreeMap<String, TcpStream>,
}

impl<'a> Stage<'a> {
    fn step(&mut self, program: &Program, operation: Operation) -> Result<()> {
        match operation {
            Operation::Run(run) => self.running = Some(self.node.run(program, run)?),
            Operation::Wait { exit_code } => {
                let end = self.running()?.outcome()?;
                self.running = None;
                let (code, said) = (end.code, beginning(&end.stderr));
                ensure!(code == exit_code, "exit code {exit_code} is right, not {code}; stderr: {said}");
            }
            Operation::Read { id, payload } => {
                let said = self.next(&id, |text| text.get(..payload.len()).map(str::to_owned))?;
                ensure!(said == payload, "{payload:?} is right on {id}, not {said:?}");
            }
            Operation::Write { id, payload } => {
                ensure!(id == "stdin", "the suite writes to {id}");
                self.running()?.write(payload.as_bytes())?;
            }
            Operation::Connect { id, protocol_type } => {
                ensure!(protocol_type == "tcp", "the suite connects by {protocol_type}");
                let line = self.next("stdout", |text| {
                    text.split_inclusive('\n').next().filter(|line| line.ends_with('\n')).map(str::to_owned)
                })?;
                let address = line.trim().to_owned();
                let nest = self.node.containerd().nest();
                let connection = nest.in_network(move || TcpStream::connect(address))??;
                connection.set_read_timeout(Some(Duration::from_secs(SECONDS)))?;
                self.connections.insert(id, connection);
            }
            Operation::Send { id, payload } => self.connection(&id)?.write_all(payload.as_bytes())?,
            Operation::Recv { id, payload } => {
                let mut received = vec![0; payload.len()];
                self.connection(&id)?.read_exact(&mut received)?;
                ensure!(received == payload.as_bytes(), "{payload:?} is right, not {received:?}");
            }
        }
        Ok(())
    }

    fn running(&mut self) -> Result<&mut Running<'a>> {
        self.running.as_mut().context("nothing runs")
    }

    fn connection(&mut self, id: &str) -> Result<&mut TcpStream> {
        self.connections.get_mut(id).with_context(|| format!("there is no connection {id}"))
    }

    /// What comes next on an output, as soon as `take` finds it in all that was not looked at yet.
    fn next(&mut self, id: &str, take: impl Fn(&str) -> Option<String>) -> Result<String> {
        let from = self.read.get(id).copied().unwrap_or_default();
        let running = self.running()?;
        let text = until(&format!("output on {id}"), SECONDS, || {
            let all = match id {
                "stdout" => running.stdout(),
                "stderr" => running.stderr(),
                other => bail!("the suite reads from {other}"),
            };
            Ok(take(all.get(from..).unwrap_or_default()))
        })?;
        self.read.insert(id.to_owned(), from + text.len());
        Ok(text)
    }
}
