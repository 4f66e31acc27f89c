//! A collector of traces: OTLP over gRPC, as a node's agent takes it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::listen;
use crate::containerd::lock;
use crate::nest::Nest;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A collector at an address of the nest. It ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: Spans,
    end: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

type Spans = Arc<Mutex<Vec<Span>>>;

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

/// A span as it came.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(int64, tag = "3")]
    number: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

impl Span {
    /// An attribute's text; empty where there is none of that name.
    pub fn attribute(&self, key: &str) -> &str {
        self.value(key).map_or("", |value| &value.text)
    }

    /// An attribute's number; 0 where there is none of that name.
    pub fn number(&self, key: &str) -> i64 {
        self.value(key).map_or(0, |value| value.number)
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()
    }

    /// Why the step failed; empty where it did not.
    pub fn error(&self) -> &str {
        self.status.as_ref().map_or("", |status| &status.message)
    }
}

impl Collector {
    /// Listens at `address`, whose port 0 is any.
    pub fn start(nest: &Nest, address: &str) -> Result<Collector> {
        let (runtime, listener, address) = listen(nest, address)?;
        let (end, ended) = oneshot::channel();
        let spans = Spans::default();
        let taken = spans.clone();
        let serving = std::thread::spawn(move || {
            runtime.block_on(async {
                let serve = async {
                    while let Ok((stream, _)) = listener.accept().await {
                        let spans = taken.clone();
                        // What goes wrong on a connection is for its client to find out.
                        tokio::spawn(async move { drop(collect(stream, &spans).await) });
                    }
                };
                tokio::select! {
                    () = serve => {}
                    _ = ended => {}
                }
            });
        });
        Ok(Collector { address, spans, end: Some(end), serving: Some(serving) })
    }

    /// What a node config has as `observe.traces`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans of one container so far.
    pub fn spans_of(&self, container: &str) -> Vec<Span> {
        let spans = lock(&self.spans);
        spans.iter().filter(|span| span.attribute("container.id") == container).cloned().collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.end.take());
        if self.serving.take().is_some_and(|serving| serving.join().is_err()) {
            eprintln!("a collector panicked");
        }
    }
}

async fn collect(stream: TcpStream, spans: &Spans) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let spans = spans.clone();
        tokio::spawn(async move { drop(export(request, respond, &spans).await) });
    }
    Ok(())
}

async fn export(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    spans: &Spans,
) -> Result<()> {
    ensure!(request.uri().path() == EXPORT, "{}", request.uri());
    let mut body = request.into_body();
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    // Whether it is compressed, and its length, before the message.
    let message = bytes.get(5..).context("no message")?;
    for resource in ExportRequest::decode(message)?.resource_spans {
        lock(spans).extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    let response = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut stream = respond.send_response(response, false)?;
    stream.send_data(Bytes::from_static(&[0; 5]), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    Ok(stream.send_trailers(trailers)?)
}
