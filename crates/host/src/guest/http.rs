//! Outgoing HTTP: the guest's requests, sent by this host where the grants allow it.
//!
//! Plain HTTP/1.1 to addresses. Names are not looked up but for `localhost`, which is the pod itself (RFC 6761).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use grants::{Egress, Transport};
use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// How long each step may take when the guest sets no time of its own.
const PATIENCE: Duration = Duration::from_secs(600);

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(Response<WasiBody>, Io), Error>;

/// The HTTP client of one guest.
pub(super) struct Client {
    egress: Egress,
}

impl Client {
    /// Sends to where `egress` allows.
    pub(super) fn new(egress: Egress) -> Self {
        Self { egress }
    }

    /// Where `uri` leads, if the guest may go there. What it may not is never looked at any closer.
    fn destinations(&self, uri: &Uri) -> Result<Vec<SocketAddr>, Error> {
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let port = authority.port_u16().unwrap_or(if secure { HTTPS_PORT } else { HTTP_PORT });
        let (addresses, name) = self.addresses(authority)?;
        let reachable = addresses.into_iter().map(|address| SocketAddr::new(address, port));
        let allowed: Vec<_> = reachable.filter(|to| self.egress.allows(to, Transport::Tcp, name)).collect();
        match (allowed.is_empty(), secure) {
            (true, _) => Err(Error::HttpRequestDenied),
            (false, true) => Err(unsupported("HTTPS is not supported by this release; use HTTP")),
            (false, false) => Ok(allowed),
        }
    }

    /// The addresses of a host, and its name if it was given by one.
    fn addresses<'a>(&self, authority: &'a Authority) -> Result<(Vec<IpAddr>, Option<&'a str>), Error> {
        let host = authority.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = address.parse() {
            return Ok((vec![address], None));
        }
        if host.eq_ignore_ascii_case("localhost") {
            return Ok((vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], Some(host)));
        }
        match self.egress.allows_name(host) {
            true => Err(unsupported("names are not looked up by this release; use an address")),
            false => Err(Error::HttpRequestDenied),
        }
    }
}

fn unsupported(why: &str) -> Error {
    Error::InternalError(Some(why.to_owned()))
}

impl WasiHttpHooks for Client {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let destinations = self.destinations(request.uri());
        Box::new(async move { send(request, &destinations?, options.unwrap_or_default()).await })
    }
}

/// Sends `request` to the first of `destinations` that takes the connection.
async fn send(mut request: Request<WasiBody>, destinations: &[SocketAddr], options: RequestOptions) -> Sent {
    let connecting = timeout(options.connect_timeout.unwrap_or(PATIENCE), TcpStream::connect(destinations));
    let stream = connecting.await.map_err(|_| Error::ConnectionTimeout)?.map_err(Error::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = wasmtime_wasi::runtime::spawn(connection);
    // An absolute URI is for proxies; the Host header is set already.
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    let answering = timeout(options.first_byte_timeout.unwrap_or(PATIENCE), sender.send_request(request));
    let response = answering.await.map_err(|_| Error::ConnectionReadTimeout)??;
    let patience = options.between_bytes_timeout.unwrap_or(PATIENCE);
    let response =
        response.map(|body| Patient { body, patience, until: Box::pin(sleep(patience)) }.boxed_unsync());
    Ok((response, Box::new(async move { Ok(connection.await?) })))
}

/// A body that waits only so long for its next bytes.
struct Patient {
    body: Incoming,
    patience: Duration,
    until: Pin<Box<Sleep>>,
}

impl Body for Patient {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let until = Instant::now().checked_add(self.patience);
            if let Some(until) = until {
                self.until.as_mut().reset(until);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
