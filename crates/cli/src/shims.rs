//! The shims of this node, asked on the sockets on which containerd asks them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use containerd_shim_protos::api::{StateRequest, StateResponse, StatsRequest, StatsResponse, Status};
use containerd_shim_protos::{cgroups::metrics as v1, cgroups_v2::metrics as v2};
use protobuf::Message;
use protobuf::well_known_types::wrappers::StringValue;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use ttrpc::Request;
use ttrpc::asynchronous::Client;
use ttrpc::proto::KeyValue;

use crate::records::Record;

const TASKS: &str = "containerd.task.v3.Task";
const DIAGNOSIS: &str = "run.wasm.v1.Diagnosis";

/// How long a shim may take to answer: one that hangs must not hold up the rest.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connections, one for each socket: a manager serves many containers.
pub struct Shims {
    clients: HashMap<PathBuf, Option<Client>>,
    tokio: Runtime,
}

/// What a container has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Nanoseconds of CPU since its start.
    pub cpu_ns: u64,
    /// Bytes, without files that the kernel could forget: the working set of `kubectl top`.
    pub memory_bytes: u64,
    /// `None`: no limit.
    pub memory_limit_bytes: Option<u64>,
    /// CPU periods in which it had to wait for its quota.
    pub throttled_periods: u64,
}

/// What only the shim knows of a container.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The last lines of the log about it.
    pub lines: Vec<String>,
    /// At least so many calls of each kind were denied.
    pub denied: BTreeMap<String, u64>,
}

impl Shims {
    /// None yet.
    ///
    /// # Errors
    /// The kernel gives no descriptor to wait with.
    pub fn new() -> Result<Shims> {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Shims { clients: HashMap::new(), tokio })
    }

    /// The state of a task in a word: `created`, `running`, `paused`, `stopped`.
    pub fn state(&mut self, record: &Record) -> Result<&'static str> {
        let request = StateRequest { id: record.id.clone(), ..StateRequest::default() };
        let state: StateResponse = self.call(record, TASKS, "State", &request)?;
        Ok(match state.status.enum_value_or_default() {
            Status::CREATED => "created",
            Status::RUNNING => "running",
            Status::STOPPED => "stopped",
            Status::PAUSED => "paused",
            Status::PAUSING => "pausing",
            Status::UNKNOWN => "unknown",
        })
    }

    pub fn usage(&mut self, record: &Record) -> Result<Usage> {
        let request = StatsRequest { id: record.id.clone(), ..StatsRequest::default() };
        let stats: StatsResponse = self.call(record, TASKS, "Stats", &request)?;
        let bytes = &stats.stats.value;
        match stats.stats.type_url.as_str() {
            "io.containerd.cgroups.v1.Metrics" => Ok(Usage::of_v1(&v1::Metrics::parse_from_bytes(bytes)?)),
            "io.containerd.cgroups.v2.Metrics" => Ok(Usage::of_v2(&v2::Metrics::parse_from_bytes(bytes)?)),
            other => bail!("the shim tells its figures as {other:?}, which this release does not know"),
        }
    }

    pub fn diagnosis(&mut self, record: &Record) -> Result<Diagnosis> {
        let request = StringValue { value: record.id.clone(), ..StringValue::default() };
        let answer: StringValue = self.call(record, DIAGNOSIS, "Describe", &request)?;
        serde_json::from_str(&answer.value).context("the shim's answer is unreadable")
    }

    fn call<R: Message, A: Message>(
        &mut self,
        record: &Record,
        service: &str,
        method: &str,
        request: &R,
    ) -> Result<A> {
        let socket = fs::read_to_string(record.bundle.join("address"))
            .with_context(|| format!("the bundle {} has no address", record.bundle.display()))?;
        let connect = || self.tokio.block_on(Client::connect(&socket)).ok();
        let client = self.clients.entry(PathBuf::from(&socket)).or_insert_with(connect);
        let client = client.as_ref().with_context(|| format!("no shim answers at {socket}"))?;
        let request = Request {
            service: service.to_owned(),
            method: method.to_owned(),
            timeout_nano: i64::try_from(PATIENCE.as_nanos())?,
            metadata: vec![KeyValue {
                key: "containerd-namespace-ttrpc".to_owned(),
                value: record.namespace.clone(),
                ..KeyValue::default()
            }],
            payload: request.write_to_bytes()?,
            ..Request::default()
        };
        let response = self.tokio.block_on(client.request(request)).map_err(|error| match error {
            ttrpc::Error::RpcStatus(status) => anyhow::anyhow!("the shim says: {}", status.message),
            error => anyhow::anyhow!("the shim at {socket} does not answer: {error}"),
        })?;
        Ok(A::parse_from_bytes(&response.payload)?)
    }
}

impl Usage {
    fn of_v1(metrics: &v1::Metrics) -> Usage {
        let (cpu, memory) = (&metrics.cpu, &metrics.memory);
        Usage {
            cpu_ns: cpu.usage.total,
            memory_bytes: memory.usage.usage.saturating_sub(memory.total_inactive_file),
            memory_limit_bytes: limit(memory.usage.limit),
            throttled_periods: cpu.throttling.throttled_periods,
        }
    }

    fn of_v2(metrics: &v2::Metrics) -> Usage {
        let (cpu, memory) = (&metrics.cpu, &metrics.memory);
        Usage {
            cpu_ns: cpu.usage_usec.saturating_mul(1000),
            memory_bytes: memory.usage.saturating_sub(memory.inactive_file),
            memory_limit_bytes: limit(memory.usage_limit),
            throttled_periods: cpu.nr_throttled,
        }
    }
}

/// The kernel's largest numbers mean none.
fn limit(bytes: u64) -> Option<u64> {
    (bytes < 1 << 62).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use protobuf::MessageField;

    use super::*;

    #[test]
    fn both_kinds_of_figures_are_read() {
        let memory =
            v2::MemoryStat { usage: 10, inactive_file: 3, usage_limit: u64::MAX, ..Default::default() };
        let cpu = v2::CPUStat { usage_usec: 7, nr_throttled: 2, ..Default::default() };
        let metrics = v2::Metrics {
            cpu: MessageField::some(cpu),
            memory: MessageField::some(memory),
            ..Default::default()
        };
        let usage = Usage { cpu_ns: 7000, memory_bytes: 7, memory_limit_bytes: None, throttled_periods: 2 };
        assert_eq!(Usage::of_v2(&metrics), usage);
        assert_eq!(
            Usage::of_v1(&v1::Metrics::new()),
            Usage { memory_limit_bytes: Some(0), ..Usage::default() }
        );
    }
}
