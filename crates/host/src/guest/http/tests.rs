//! The client against servers of the test's own, and the decisions that need no server.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::pin::Pin;

use http_body_util::BodyExt as _;

use super::*;
use crate::protocol::NameFiles;

fn client(egress: &str) -> Client {
    let grants = crate::guest::tests::grants(egress, "");
    let files = NameFiles {
        resolv_conf: None,
        hosts: Some("203.0.113.7 api.example.com\n127.0.0.1 inward\n".into()),
    };
    let names = Arc::new(Names::new(grants.egress(), &files, crate::guest::Denials::new(|_| {})).unwrap());
    Client::new(&grants, names, None, None)
}

/// Where a request to `uri` would go.
fn destinations(egress: &str, uri: &str) -> Result<Vec<SocketAddr>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { client(egress).destinations(&Server::of(&uri.parse().unwrap())?).await })
}

/// Sends GET to `uri` and returns the body of the response.
fn get(mut client: Client, uri: &str, options: RequestOptions) -> Result<String, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (response, io) = send(&mut client, uri, options).await?;
        let body = response.into_body().collect().await?.to_bytes();
        Pin::from(io).await?;
        Ok(String::from_utf8(body.to_vec()).unwrap())
    })
}

async fn send(client: &mut Client, uri: &str, options: RequestOptions) -> Result<Sent, Error> {
    let request = Request::get(uri).header("host", "as-the-guest-said").body(whole(b"")).unwrap();
    Pin::from(client.send_request(request, Some(options), Box::new(async { Ok(()) }))).await
}

/// A request's head, to the empty line.
fn read_head(stream: &mut std::net::TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// A server that says by which of its connections a request came, and the how manieth there; `last` is its last answer on each.
fn counting_server(last: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                for so_far in 1..=last {
                    if read_head(&mut stream).is_err() {
                        return;
                    }
                    let body = format!("{number}:{so_far}");
                    let length = body.len();
                    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
                }
            });
        }
    });
    port
}

async fn answer(client: &mut Client, uri: &str) -> String {
    let (response, _io) = send(client, uri, RequestOptions::default()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    // What moves the bytes learns of the end in its own turn.
    tokio::task::yield_now().await;
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_connection_is_used_again_for_the_same_server_and_for_no_other() {
    let (one, other) = (counting_server(usize::MAX), counting_server(usize::MAX));
    let mut client = client("127.0.0.1");
    assert_eq!(answer(&mut client, &format!("http://127.0.0.1:{one}/")).await, "0:1");
    assert_eq!(answer(&mut client, &format!("http://127.0.0.1:{one}/")).await, "0:2");
    assert_eq!(answer(&mut client, &format!("http://127.0.0.1:{other}/")).await, "0:1");
    assert_eq!(answer(&mut client, &format!("http://127.0.0.1:{one}/")).await, "0:3");
}

#[tokio::test]
async fn a_connection_that_is_in_use_or_whose_answer_nobody_read_is_not_used_again() {
    let port = counting_server(usize::MAX);
    let (mut client, uri) = (client("127.0.0.1"), format!("http://127.0.0.1:{port}/"));
    let (unread, _io) = send(&mut client, &uri, RequestOptions::default()).await.unwrap();
    assert_eq!(answer(&mut client, &uri).await, "1:1");
    drop(unread);
    tokio::task::yield_now().await;
    assert_eq!(answer(&mut client, &uri).await, "1:2", "the first is gone");
}

#[tokio::test]
async fn a_connection_that_its_server_has_closed_is_replaced_by_a_new_one() {
    let port = counting_server(1);
    let (mut client, uri) = (client("127.0.0.1"), format!("http://127.0.0.1:{port}/"));
    for number in 0..5 {
        assert_eq!(answer(&mut client, &uri).await, format!("{number}:1"));
    }
}

#[tokio::test]
async fn kept_connections_are_closed_after_a_while() {
    let port = counting_server(usize::MAX);
    let (mut client, uri) = (client("127.0.0.1"), format!("http://127.0.0.1:{port}/"));
    let now = tokio::time::Instant::now();
    assert_eq!(answer(&mut client, &uri).await, "0:1");
    let end = client.pool.close_old(now).unwrap();
    assert!(end >= now + Duration::from_secs(30));
    assert_eq!(answer(&mut client, &uri).await, "0:2");
    assert_eq!(client.pool.close_old(end + Duration::from_secs(1)), None);
    assert_eq!(answer(&mut client, &uri).await, "1:1");
}

#[tokio::test]
async fn kept_connections_give_way_to_new_ones() {
    let mut client = client("127.0.0.1");
    client.connections = Arc::new(Semaphore::new(2));
    for _ in 0..4 {
        let uri = format!("http://127.0.0.1:{}/", counting_server(usize::MAX));
        assert_eq!(answer(&mut client, &uri).await, "0:1");
    }
}

/// A server for one request, which it answers with `response`, or never.
fn server(response: Option<&'static str>) -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = read_head(&mut stream).unwrap();
        match response {
            Some(response) => stream.write_all(response.as_bytes()).unwrap(),
            // Until the client gives up.
            None => drop(stream.read(&mut [0])),
        }
        request
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
    let denied = |egress: &str, uri: &str| {
        let error = destinations(egress, uri).unwrap_err();
        assert!(matches!(error, Error::HttpRequestDenied), "{egress} {uri}: {error}");
    };
    denied("", "http://192.0.2.1/");
    denied("192.0.2.1:8080", "http://192.0.2.1/");
    denied("192.0.2.1:80", "https://192.0.2.1/");
    denied("10.0.0.0/8", "http://example.com/");
    denied("api.example.com:443", "http://api.example.com/");
    denied("api.example.com", "http://203.0.113.7/");
    denied("0.0.0.0/0", "http://localhost/");
    denied("0.0.0.0/0", "http://127.0.0.1/");
    denied("0.0.0.0/0", "http://169.254.169.254/");
    denied("[::/0], 0.0.0.0/0", "http://[::ffff:169.254.169.254]/");
    for spelled in ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"] {
        denied("0.0.0.0/0, 127.0.0.1", &format!("http://{spelled}/"));
    }
}

#[test]
fn a_granted_name_leads_to_its_addresses_and_not_inward() {
    let to = destinations("*.example.com", "https://API.example.com/").unwrap();
    assert_eq!(to, ["203.0.113.7:443".parse().unwrap()]);
    let inward = destinations("inward", "http://inward/").unwrap_err();
    assert!(matches!(inward, Error::DestinationIpProhibited), "{inward}");
}

#[test]
fn addresses_have_many_spellings() {
    let to = |egress, uri| destinations(egress, uri).unwrap();
    assert_eq!(to("192.0.2.1", "http://192.0.2.1/"), ["192.0.2.1:80".parse().unwrap()]);
    assert_eq!(to("[2001:db8::1]", "http://[2001:db8::1]:81/"), ["[2001:db8::1]:81".parse().unwrap()]);
    let localhost = ["127.0.0.1:82".parse().unwrap(), "[::1]:82".parse().unwrap()];
    assert_eq!(to("localhost", "http://localhost:82/"), localhost);
}

#[test]
fn a_user_in_the_authority_is_refused() {
    let error = destinations("192.0.2.1", "http://user@192.0.2.1/").unwrap_err();
    assert!(matches!(error, Error::HttpRequestUriInvalid), "{error}");
}

#[test]
fn without_any_root_certificate_https_says_so() {
    let (port, serving) = server(None);
    let error = get(client("127.0.0.1"), &format!("https://127.0.0.1:{port}/"), RequestOptions::default());
    match error.unwrap_err() {
        Error::InternalError(Some(why)) => {
            assert!(why.starts_with("there are no root certificates"), "{why}")
        }
        other => panic!("{other}"),
    }
    drop(serving);
}

#[test]
fn a_head_without_end_is_not_read_to_its_end() {
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let (port, serving) = server(Some(head.leak()));
    let error = get(client("127.0.0.1"), &format!("http://127.0.0.1:{port}/"), RequestOptions::default());
    let error = error.unwrap_err();
    assert!(matches!(error, Error::HttpResponseHeaderSectionSize(None)), "{error}");
    drop(serving);
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
    let (port, serving) = server(Some("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n"));
    let options =
        RequestOptions { between_bytes_timeout: Some(Duration::from_millis(20)), ..Default::default() };
    assert!(get(client("127.0.0.1"), &format!("http://127.0.0.1:{port}/"), options).is_err());
    serving.join().unwrap();
}

#[test]
fn a_server_that_takes_no_connection_is_given_up_in_time() {
    // It accepts nobody, and its queue holds one: the kernel drops what comes next.
    let listener =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None);
    let listener = listener.unwrap();
    rustix::net::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let _first = std::net::TcpStream::connect(address).unwrap();
    let options = RequestOptions { connect_timeout: Some(Duration::from_millis(50)), ..Default::default() };
    let error = get(client("127.0.0.1"), &format!("http://{address}/"), options).unwrap_err();
    assert!(matches!(error, Error::ConnectionTimeout), "{error}");
}
