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

use super::Denials;
use crate::protocol::Kind;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// How long each step may take when the guest sets no time of its own.
const PATIENCE: Duration = Duration::from_secs(600);

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(Response<WasiBody>, Io), Error>;

/// The HTTP client of one guest.
pub(super) struct Client {
    egress: Egress,
    denials: Denials,
}

impl Client {
    /// Sends to where `egress` allows; `denials` hears of the rest.
    pub(super) fn new(egress: Egress, denials: Denials) -> Self {
        Self { egress, denials }
    }

    /// Where `uri` leads, if the guest may go there. What it may not is never looked at any closer.
    fn destinations(&self, uri: &Uri) -> Result<Vec<SocketAddr>, Error> {
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let port = authority.port_u16().unwrap_or(if secure { HTTPS_PORT } else { HTTP_PORT });
        let Some((addresses, name)) = addresses(authority) else {
            let cure = self.egress.cure_name(authority.host());
            return Err(self.denied(authority, port, &cure));
        };
        let first = addresses.first().map(|address| SocketAddr::new(*address, port));
        let reachable = addresses.into_iter().map(|address| SocketAddr::new(address, port));
        let allowed: Vec<_> = reachable.filter(|to| self.egress.allows(to, Transport::Tcp, name)).collect();
        match (allowed.is_empty(), secure) {
            (true, _) => {
                let cure = first.map(|to| self.egress.cure(&to, Transport::Tcp, name)).unwrap_or_default();
                Err(self.denied(authority, port, &cure))
            }
            (false, true) => {
                Err(Error::InternalError(Some("HTTPS is not supported by this release; use HTTP".to_owned())))
            }
            (false, false) => Ok(allowed),
        }
    }

    /// The path and the user of a URI may be secrets.
    fn denied(&self, authority: &Authority, port: u16, cure: &str) -> Error {
        self.denials
            .note(Kind::Http, || format!("HTTP request to {}:{port} denied: {cure}", authority.host()));
        Error::HttpRequestDenied
    }
}

/// The addresses of a host, and its name if it was given by one. No name but `localhost` can have been granted.
fn addresses(authority: &Authority) -> Option<(Vec<IpAddr>, Option<&str>)> {
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = address.parse() {
        return Some((vec![address], None));
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Some((vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], Some(host)));
    }
    None
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use http_body_util::Empty;

    use super::*;

    fn client(egress: &str) -> Client {
        let spec = serde_json::json!({
            "ociVersion": "1.1.0",
            "process": { "args": ["/app.wasm"], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
            "root": { "path": "rootfs" },
            "annotations": { "run.wasm/egress": egress },
        });
        let grants =
            grants::derive(&serde_json::from_value(spec).unwrap(), &grants::Policy::default()).unwrap();
        Client::new(grants.egress().clone(), Denials::new(|_| {}))
    }

    /// Sends GET to `uri` and returns the body of the response.
    fn get(mut client: Client, uri: &str, options: RequestOptions) -> Result<String, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
            let request = Request::get(uri).header("host", "as-the-guest-said").body(body).unwrap();
            let sent = client.send_request(request, Some(options), Box::new(async { Ok(()) }));
            let (response, io) = Pin::from(sent).await?;
            let body = response.into_body().collect().await?.to_bytes();
            Pin::from(io).await?;
            Ok(String::from_utf8(body.to_vec()).unwrap())
        })
    }

    /// A server for one request, which it answers with `response`, or never.
    fn server(response: Option<&'static str>) -> (u16, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            match response {
                Some(response) => stream.write_all(response.as_bytes()).unwrap(),
                // Until the client gives up.
                None => drop(stream.read(&mut [0])),
            }
            String::from_utf8(request).unwrap()
        });
        (port, serving)
    }

    #[test]
    fn a_request_goes_where_it_may_with_its_path_alone() {
        let (port, serving) = server(Some("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"));
        let uri = format!("http://127.0.0.1:{port}/a?b=c");
        assert_eq!(get(client("127.0.0.1"), &uri, RequestOptions::default()).unwrap(), "hello");
        let request = serving.join().unwrap();
        assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\nhost: as-the-guest-said\r\n"), "{request}");
    }

    #[test]
    fn what_is_not_granted_is_denied() {
        let denied = |egress, uri| {
            let error = client(egress).destinations(&uri_of(uri)).unwrap_err();
            assert!(matches!(error, Error::HttpRequestDenied), "{egress} {uri}: {error}");
        };
        denied("", "http://192.0.2.1/");
        denied("192.0.2.1:8080", "http://192.0.2.1/");
        denied("192.0.2.1:80", "https://192.0.2.1/");
        denied("10.0.0.0/8", "http://example.com/");
        denied("0.0.0.0/0", "http://localhost/");
        denied("0.0.0.0/0", "http://127.0.0.1/");
        denied("0.0.0.0/0", "http://169.254.169.254/");
    }

    #[test]
    fn addresses_have_many_spellings() {
        let to = |egress, uri| client(egress).destinations(&uri_of(uri)).unwrap();
        assert_eq!(to("192.0.2.1", "http://192.0.2.1/"), ["192.0.2.1:80".parse().unwrap()]);
        assert_eq!(to("192.0.2.1", "http://user@192.0.2.1:8080/"), ["192.0.2.1:8080".parse().unwrap()]);
        assert_eq!(to("[2001:db8::1]", "http://[2001:db8::1]:81/"), ["[2001:db8::1]:81".parse().unwrap()]);
        assert_eq!(to("127.0.0.1", "http://localhost:82/"), ["127.0.0.1:82".parse().unwrap()]);
    }

    #[test]
    fn what_is_granted_and_not_supported_says_so() {
        match client("192.0.2.1").destinations(&uri_of("https://192.0.2.1/")).unwrap_err() {
            Error::InternalError(Some(why)) => assert!(why.starts_with("HTTPS is not supported"), "{why}"),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_server_that_is_silent_for_too_long_is_given_up() {
        let (port, serving) = server(None);
        let options =
            RequestOptions { first_byte_timeout: Some(Duration::from_millis(20)), ..Default::default() };
        let error = get(client("127.0.0.1"), &format!("http://127.0.0.1:{port}/"), options).unwrap_err();
        assert!(matches!(error, Error::ConnectionReadTimeout), "{error}");
        serving.join().unwrap();
    }

    #[test]
    fn a_body_that_stops_for_too_long_is_given_up() {
        let (port, serving) =
            server(Some("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n"));
        let options =
            RequestOptions { between_bytes_timeout: Some(Duration::from_millis(20)), ..Default::default() };
        assert!(get(client("127.0.0.1"), &format!("http://127.0.0.1:{port}/"), options).is_err());
        serving.join().unwrap();
    }

    fn uri_of(text: &str) -> Uri {
        text.parse().unwrap()
    }
}
