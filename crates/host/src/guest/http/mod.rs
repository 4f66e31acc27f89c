//! Outgoing HTTP: the guest's requests, sent by this host where the grants allow it. HTTP/1.1, and HTTP/2 where a server
//! speaks it over TLS.
//!
//! A request goes to the host of its own authority and to an address that was looked up for it, or for an earlier request to
//! the same host and port, whose connection is used again; `Host`, `:authority` and the name that TLS checks are that host,
//! too. A redirect is an answer like any other: whether the guest follows it is decided anew, with its next request.

mod body;
mod connection;
mod errors;
mod exchange;
mod link;
mod pool;
mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use grants::{Grants, Transport};
use http::uri::{Scheme, Uri};
use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::body::whole;
use super::network::{Names, Unresolved, literal};
use crate::protocol::Kind;
use exchange::{Failure, exchange};
use link::Link;
use pool::{Lease, Pool};
pub(super) use tls::Roots;
use tls::Tls;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// How long a connection may take, name lookup and TLS included, when the guest sets no time of its own.
const CONNECT: Duration = Duration::from_secs(60);
/// How long the answer may take to begin, and to go on.
const ANSWER: Duration = Duration::from_secs(600);

/// Connections of one guest at once. Each may hold some 100 KiB of buffers.
const CONNECTIONS: usize = 256;

/// Of what a guest writes into a body, the most that is copied at once, in bytes.
const CHUNK: usize = 64 * 1024;

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = (Response<WasiBody>, Io);

/// The HTTP client of one guest.
#[derive(Clone)]
pub(super) struct Client {
    names: Arc<Names>,
    tls: Arc<Tls>,
    connections: Arc<Semaphore>,
    pool: Arc<Pool>,
}

/// Whom a request is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Server {
    /// A name, or an address without brackets.
    host: String,
    port: u16,
    secure: bool,
}

impl Client {
    /// Sends to where the grants allow. `root` is the directory that is the guest's `/`, `node_roots` the certificates
    /// that the node trusts.
    pub(super) fn new(
        grants: &Grants,
        names: Arc<Names>,
        root: Option<&Path>,
        node_roots: Option<std::fs::File>,
    ) -> Self {
        let tls = Arc::new(Tls::new(Roots::new(node_roots, root, grants.env())));
        Self { names, tls, connections: Arc::new(Semaphore::new(CONNECTIONS)), pool: Arc::default() }
    }

    /// Whom it asks for names.
    pub(super) fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// The addresses of `server` that the guest may reach, of which there is at least one.
    async fn destinations(&self, server: &Server) -> Result<Vec<SocketAddr>, Error> {
        let to = |address| SocketAddr::new(address, server.port);
        if let Some(address) = literal(&server.host) {
            let open = self.names.allows(&to(address), Transport::Tcp, None);
            let denied = || self.denied(server, || self.names.cure(&to(address), Transport::Tcp));
            return if open { Ok(vec![to(address)]) } else { Err(denied()) };
        }
        let found = match self.names.find(&server.host).await {
            // What is no name cannot have been granted.
            Err(Unresolved::Denied | Unresolved::Invalid) => {
                return Err(self.denied(server, || self.names.cure_name(&server.host, server.port)));
            }
            found => found.map_err(|error| errors::of_lookup(&error))?,
        };
        if !self.names.opens(&found, server.port, Transport::Tcp) {
            return Err(self.denied(server, || self.names.cure_name(&server.host, server.port)));
        }
        let all = found.addresses.iter().copied().map(to);
        let open: Vec<_> = all.filter(|to| self.names.allows(to, Transport::Tcp, Some(&found))).collect();
        if open.is_empty() {
            // The name is granted, and leads where no name leads: to the pod itself, to metadata, to what the node denies.
            let first = found.addresses.first().copied().map(to);
            self.denied(server, || first.map(|to| self.names.cure(&to, Transport::Tcp)).unwrap_or_default());
            return Err(Error::DestinationIpProhibited);
        }
        Ok(open)
    }

    /// The path and the user of a URI may be secrets.
    fn denied(&self, server: &Server, cure: impl FnOnce() -> String) -> Error {
        let Server { host, port, .. } = server;
        self.names.denials().note(Kind::Http, || format!("HTTP request to {host}:{port} denied: {}", cure()));
        Error::HttpRequestDenied
    }

    async fn send(self, request: Request<WasiBody>, options: RequestOptions) -> Result<Sent, Error> {
        let server = Server::of(request.uri())?;
        let mut request = request;
        if let Some(kept) = self.pool.take(&server) {
            let repeatable = exchange::is_repeatable(&request);
            let (head, body) = request.into_parts();
            // The server may give the connection up at this moment.
            let left = match exchange(kept, Request::from_parts(head.clone(), body), &options).await {
                Ok(sent) => return Ok(sent),
                Err(Failure::Unsent(body)) => body,
                Err(Failure::Failed(Error::ConnectionTerminated | Error::HttpResponseIncomplete))
                    if repeatable =>
                {
                    whole(b"")
                }
                Err(Failure::Failed(error)) => return Err(error),
            };
            request = Request::from_parts(head, left);
        }
        let fresh = self.connect(server, &options).await?;
        exchange(fresh, request, &options).await.map_err(|failure| match failure {
            Failure::Failed(error) => error,
            Failure::Unsent(_) => Error::ConnectionTerminated,
        })
    }

    /// A new connection, where there is room for one.
    async fn connect(&self, server: Server, options: &RequestOptions) -> Result<Lease, Error> {
        let place = self.place().ok_or(Error::ConnectionLimitReached)?;
        let connecting = async {
            let stream = connection::dial(self.destinations(&server).await?).await?;
            let connection =
                if server.secure { self.tls.connect(&server.host, stream).await? } else { stream.into() };
            Link::new(connection, place).await
        };
        let patience = options.connect_timeout.unwrap_or(CONNECT);
        let link = timeout(patience, connecting).await.map_err(|_| Error::ConnectionTimeout)??;
        Ok(self.pool.add(server, link))
    }

    /// Room for one more connection; those that are only kept give way.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(place) = self.connections.clone().try_acquire_owned() {
                return Some(place);
            }
            if !self.pool.make_room() {
                return None;
            }
        }
    }
}

impl Server {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        // It would end up in the Host header, where it does not belong (RFC 9110, 4.2.4).
        if authority.as_str().contains('@') {
            return Err(Error::HttpRequestUriInvalid);
        }
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let port = authority.port_u16().unwrap_or(if secure { HTTPS_PORT } else { HTTP_PORT });
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self { host: host.to_owned(), port, secure })
    }
}

impl WasiHttpHooks for Client {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        Box::new(self.clone().send(request, options.unwrap_or_default()))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }
}

#[cfg(test)]
mod tests;
