//! A shim without containerd in front of it: started, and then called, as containerd does.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use containerd_shim_protos::Client;
use containerd_shim_protos::api::{
    CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, KillRequest, ShutdownRequest, StartRequest,
    StartResponse, StateRequest, StateResponse, Status, WaitRequest, WaitResponse,
};
use protobuf::Message;
use ttrpc::proto::KeyValue;

use crate::bundle::Bundle;
use crate::containerd::{ADDRESS, namespace};
use crate::peer::Peer;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where containerd says of which of its namespaces a call is; a shim that serves several looks there.
const NAMESPACE: &str = "containerd-namespace-ttrpc";

const SIGKILL: u32 = 9;

/// A connection to a running shim.
pub struct Shim {
    client: Client,
    address: String,
    service: &'static str,
    namespace: String,
}

impl Shim {
    /// Calls `shim start` for a bundle and connects to the address that it prints.
    pub fn start(peer: Peer, bundle: &Bundle) -> Result<Shim> {
        let namespace = namespace();
        let output = Command::new(peer.shim())
            .args(["-namespace", &namespace, "-address", ADDRESS, "-publish-binary", "containerd"])
            .args(["-id", bundle.id(), "start"])
            .env("TTRPC_ADDRESS", format!("{ADDRESS}.ttrpc"))
            .env("GRPC_ADDRESS", ADDRESS)
            .env("NAMESPACE", &namespace)
            .env("MAX_SHIM_VERSION", "2")
            .current_dir(bundle.path())
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", peer.shim()))?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "start failed: {said} {}", String::from_utf8_lossy(&output.stderr));
        let (address, service) = reply(&said)?;
        Ok(Shim { client: connect(&address)?, address, service, namespace })
    }

    /// Another connection to the same.
    pub fn again(&self) -> Result<Shim> {
        let (address, namespace) = (self.address.clone(), self.namespace.clone());
        Ok(Shim { client: connect(&address)?, address, service: self.service, namespace })
    }

    fn call<R: Message>(&self, method: &str, message: &impl Message) -> Result<R> {
        let namespace =
            KeyValue { key: NAMESPACE.to_owned(), value: self.namespace.clone(), ..Default::default() };
        let request = ttrpc::Request {
            service: self.service.to_owned(),
            method: method.to_owned(),
            timeout_nano: i64::try_from(PATIENCE.as_nanos())?,
            payload: message.write_to_bytes()?,
            metadata: vec![namespace],
            ..Default::default()
        };
        let response = self.client.request(request).with_context(|| format!("{method} failed"))?;
        Ok(R::parse_from_bytes(&response.payload)?)
    }

    pub fn create(&self, bundle: &Bundle) -> Result<()> {
        self.call::<CreateTaskResponse>("Create", &bundle.create_request()).map(drop)
    }

    pub fn start_task(&self, id: &str) -> Result<()> {
        let request = StartRequest { id: id.to_owned(), ..Default::default() };
        self.call::<StartResponse>("Start", &request).map(drop)
    }

    /// Waits for the container's end; its exit code.
    pub fn wait(&self, id: &str) -> Result<u32> {
        let request = WaitRequest { id: id.to_owned(), ..Default::default() };
        Ok(self.call::<WaitResponse>("Wait", &request)?.exit_status)
    }

    pub fn is_running(&self, id: &str) -> Result<bool> {
        let request = StateRequest { id: id.to_owned(), ..Default::default() };
        Ok(self.call::<StateResponse>("State", &request)?.status == Status::RUNNING.into())
    }

    pub fn kill(&self, id: &str) -> Result<()> {
        let request = KillRequest { id: id.to_owned(), signal: SIGKILL, all: true, ..Default::default() };
        self.call::<Empty>("Kill", &request).map(drop)
    }

    pub fn delete(&self, id: &str) -> Result<()> {
        let request = DeleteRequest { id: id.to_owned(), ..Default::default() };
        self.call::<DeleteResponse>("Delete", &request).map(drop)
    }

    /// What containerd asks for when it has deleted a task.
    pub fn shutdown(&self, id: &str) {
        let request = ShutdownRequest { id: id.to_owned(), ..Default::default() };
        // A shim may be gone before it has answered.
        drop(self.call::<Empty>("Shutdown", &request));
    }
}

fn connect(address: &str) -> Result<Client> {
    Client::connect(address).with_context(|| format!("cannot reach the shim at {address}"))
}

/// The address in a shim's reply, and the name of its task service: a plain address means the second generation, JSON
/// says which.
fn reply(said: &str) -> Result<(String, &'static str)> {
    if !said.trim_start().starts_with('{') {
        return Ok((said.trim().to_owned(), "containerd.task.v2.Task"));
    }
    let reply: serde_json::Value = serde_json::from_str(said)?;
    let address = reply.get("address").and_then(|address| address.as_str());
    let address = address.context("the shim's reply has no address")?.to_owned();
    match reply.get("version").and_then(|version| version.as_u64()) {
        Some(2) => Ok((address, "containerd.task.v2.Task")),
        Some(3) => Ok((address, "containerd.task.v3.Task")),
        _ => bail!("the shim speaks a task service that is not known here: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::reply;

    #[test]
    fn both_forms_of_a_reply_are_read() {
        assert_eq!(reply("unix:///a").unwrap(), ("unix:///a".to_owned(), "containerd.task.v2.Task"));
        let json = r#"{"version":3,"address":"unix:///b","protocol":"ttrpc"}"#;
        assert_eq!(reply(json).unwrap(), ("unix:///b".to_owned(), "containerd.task.v3.Task"));
    }
}
