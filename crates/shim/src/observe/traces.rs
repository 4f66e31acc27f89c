//! Traces, by OTLP over gRPC to a collector that the node's config names: of each container what its Create and Start
//! took, and what that was made of; of those that serve, the requests that are part of a trace.
//!
//! gRPC is what the shim speaks to containerd already: no other HTTP client comes with it. Whoever waits for a collector is
//! a task of its own; a span for which there is no room is dropped and counted, and no container ever waits.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use host::protocol::Traced;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::sync::mpsc;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::otlp::{
    ExportRequest, ExportResponse, INTERNAL, KeyValue, ResourceSpans, SERVER, ScopeSpans, Span, Status,
    attribute, failed, number, resource, scope,
};
use super::{Stage, Subject, current};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Spans that wait for the collector, at most; and those that go to it at once.
const ROOM: usize = 1024;
const BATCH: usize = 256;

/// How long a span waits for others, and how long the collector may take.
const PAUSE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(5);

static SPANS: OnceLock<mpsc::Sender<Span>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Those that are not with the collector yet.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// How long a shim, at its end, waits for what is still under way.
const FAREWELL: Duration = PATIENCE;

/// Who a container is to a collector: its trace, and the span of its Create, of which all others are part.
#[derive(Debug, Clone, Copy)]
pub struct Trace {
    trace: [u8; 16],
    create: [u8; 8],
}

impl Trace {
    fn new() -> Trace {
        Trace { trace: random(), create: random() }
    }
}

fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    // The kernel gives so few bytes whole and at once; were it not so, two traces would look like one.
    if getrandom(&mut bytes[..], GetRandomFlags::empty()).is_err() {
        bytes.fill(1);
    }
    bytes
}

/// Begins to trace. The endpoint is one that the node's config allows.
pub fn start(endpoint: &str) -> Result<()> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).context("observe.traces of the node config")?;
    let channel = endpoint.connect_timeout(PATIENCE).timeout(PATIENCE).connect_lazy();
    let (sender, spans) = mpsc::channel(ROOM);
    // Set once, at the shim's birth.
    drop(SPANS.set(sender));
    tokio::spawn(export(channel, spans));
    Ok(())
}

/// A step of the container that is worked for. `error` says why it failed.
pub fn step(stage: Stage, begun: SystemTime, took: Duration, error: impl FnOnce() -> Option<String>) {
    let (Some(spans), Some(subject)) = (SPANS.get(), current()) else { return };
    let Trace { trace, create } = *subject.trace.get_or_init(Trace::new);
    let (span_id, parent) = match stage {
        Stage::Create => (create, Vec::new()),
        _ => (random(), create.to_vec()),
    };
    let start = nanoseconds(begun);
    let span = Span {
        trace_id: trace.to_vec(),
        span_id: span_id.to_vec(),
        parent_span_id: parent,
        name: stage.name().to_owned(),
        kind: INTERNAL,
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
        attributes: attributes(&subject),
        status: Some(error().map_or_else(Status::default, failed)),
    };
    give(spans, span);
}

/// Requests that the container which is worked for has answered, parts of its clients' traces. Attributes are those of
/// OpenTelemetry's conventions for HTTP servers.
pub fn requests(requests: Vec<Traced>) {
    let (Some(spans), Some(subject)) = (SPANS.get(), current()) else { return };
    for request in requests.into_iter().take(Traced::MOST) {
        let Traced { trace, parent, span, mut method, mut path, status, begun, took } = request;
        // It is a host that says so.
        for text in [&mut method, &mut path] {
            text.truncate(text.floor_char_boundary(Traced::LONGEST));
        }
        let mut attributes = attributes(&subject);
        attributes.extend([
            attribute("http.request.method", &method),
            attribute("url.path", &path),
            attribute("url.scheme", "http"),
            number("http.response.status_code", status.into()),
        ]);
        let failure = (status >= 500).then(|| failed(String::new()));
        let span = Span {
            trace_id: trace.to_vec(),
            span_id: span.to_vec(),
            parent_span_id: parent.to_vec(),
            name: method,
            kind: SERVER,
            start_time_unix_nano: begun,
            end_time_unix_nano: begun.saturating_add(took),
            attributes,
            status: Some(failure.unwrap_or_default()),
        };
        give(spans, span);
    }
}

/// Who a container is.
fn attributes(subject: &Subject) -> Vec<KeyValue> {
    let mut attributes = vec![
        attribute("container.id", &subject.container),
        attribute("containerd.namespace", &subject.namespace),
    ];
    if let Some((namespace, pod)) = subject.pod().and_then(|pod| pod.split_once('/')) {
        attributes.extend([attribute("k8s.namespace.name", namespace), attribute("k8s.pod.name", pod)]);
    }
    attributes
}

fn give(spans: &mpsc::Sender<Span>, span: Span) {
    WAITING.fetch_add(1, Ordering::Relaxed);
    if spans.try_send(span).is_err() {
        WAITING.fetch_sub(1, Ordering::Relaxed);
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until all is told, or until it is clear that nobody listens.
pub async fn finish() {
    let told = async {
        while WAITING.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(PAUSE / 10).await;
        }
    };
    // What a collector does not take in this time is lost.
    drop(tokio::time::timeout(FAREWELL, told).await);
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

async fn export(channel: Channel, mut spans: mpsc::Receiver<Span>) {
    let mut batch = Vec::new();
    while spans.recv_many(&mut batch, BATCH).await > 0 {
        // Those of one container come close to each other.
        tokio::time::sleep(PAUSE).await;
        while batch.len() < BATCH
            && let Ok(span) = spans.try_recv()
        {
            batch.push(span);
        }
        let count = batch.len() as u64;
        let sent = send(&channel, std::mem::take(&mut batch)).await;
        WAITING.fetch_sub(count, Ordering::Relaxed);
        if let Err(error) = sent {
            let dropped = DROPPED.swap(0, Ordering::Relaxed);
            tracing::debug!(error = format!("{error:#}"), dropped, "the collector of traces does not answer");
        }
    }
}

async fn send(channel: &Channel, spans: Vec<Span>) -> Result<()> {
    let spans = ScopeSpans { scope: Some(scope()), spans };
    let resource_spans = vec![ResourceSpans { resource: Some(resource()), scope_spans: vec![spans] }];
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await?;
    let codec = ProstCodec::<ExportRequest, ExportResponse>::default();
    let request = tonic::Request::new(ExportRequest { resource_spans });
    grpc.unary(request, PathAndQuery::from_static(EXPORT), codec).await?;
    Ok(())
}
