//! A client of HTTP/1.1 that writes whatever it is told, and one of HTTP/2.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::nest::Nest;
use crate::patience::until;
use anyhow::{Context, Result, bail};

/// How long a server may take to begin, or to answer.
const PATIENCE: u64 = 120;

/// Where servers listen that say nothing of ports.
pub const ADDRESS: &str = "127.0.0.1:8080";

/// An answer, with its body as text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    /// The lines behind a body in pieces.
    pub trailers: String,
    /// The connection ended before the answer did.
    pub cut: bool,
}

/// Waits until somebody listens there, and connects.
pub fn connect_to(nest: &Nest, address: &str) -> Result<TcpStream> {
    let address: SocketAddr = address.parse()?;
    let stream =
        until("the server listens", PATIENCE, || Ok(nest.in_network(|| TcpStream::connect(address))?.ok()))?;
    stream.set_read_timeout(Some(Duration::from_secs(PATIENCE)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub fn connect(nest: &Nest) -> Result<TcpStream> {
    connect_to(nest, ADDRESS)
}

/// So many connections that say nothing more, every second of them in the middle of a head.
pub fn idle(nest: &Nest, address: &str, count: usize) -> Result<Vec<TcpStream>> {
    let mut idle = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = connect_to(nest, address)?;
        if number % 2 == 0 {
            stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\n")?;
        }
        idle.push(stream);
    }
    Ok(idle)
}

/// A GET on a connection of its own.
pub fn get(nest: &Nest, path: &str) -> Result<Answer> {
    say(nest, &format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
}

/// Sends text and reads the one answer.
pub fn say(nest: &Nest, text: &str) -> Result<Answer> {
    let mut stream = connect(nest)?;
    // A server may have said all that it has to before it has read all.
    let _sent = stream.write_all(text.as_bytes());
    let shown = text.get(..text.len().min(80)).unwrap_or_default();
    read(&mut stream).with_context(|| format!("{shown:?}"))
}

/// All that comes until the connection ends.
pub fn rest(stream: &mut TcpStream) -> Result<String> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => return Err(error.into()),
        _ => {}
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What comes up to an empty line.
pub fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match byte(stream)? {
            Some(byte) => head.push(char::from(byte)),
            None if head.is_empty() => bail!("the server hung up without an answer"),
            None => bail!("the server hung up within a head: {head}"),
        }
    }
    Ok(head)
}

/// Reads one answer and leaves the connection as it is.
pub fn read(stream: &mut TcpStream) -> Result<Answer> {
    let head = read_head(stream)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    let mut answer = Answer { status, head: head.to_ascii_lowercase(), ..Answer::default() };
    if let Some(length) = field(&answer.head, "content-length").and_then(|length| length.parse().ok()) {
        let mut body = vec![0; length];
        answer.cut = stream.read_exact(&mut body).is_err();
        answer.body = String::from_utf8_lossy(&body).into_owned();
    } else if field(&answer.head, "transfer-encoding") == Some("chunked") {
        answer.cut = pieces(stream, &mut answer)?.is_none();
    } else if status != 204 {
        answer.body = rest(stream)?;
    }
    Ok(answer)
}

pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// `None`: the connection ended before the last piece.
fn pieces(stream: &mut TcpStream, answer: &mut Answer) -> Result<Option<()>> {
    loop {
        match next_piece(stream)? {
            None => return Ok(None),
            Some(piece) if piece.is_empty() => break,
            Some(piece) => answer.body += &piece,
        }
    }
    loop {
        match line(stream)? {
            None => return Ok(None),
            Some(line) if line.is_empty() => return Ok(Some(())),
            Some(line) => answer.trailers += &format!("{line}\n"),
        }
    }
}

/// One piece of a body in pieces.
pub fn piece(stream: &mut TcpStream) -> Result<String> {
    next_piece(stream)?.context("the server hung up")
}

/// The next one, of which the last is empty; `None`: the connection ended before.
fn next_piece(stream: &mut TcpStream) -> Result<Option<String>> {
    let Some(size) = line(stream)? else { return Ok(None) };
    let size = usize::from_str_radix(&size, 16).with_context(|| format!("no size: {size}"))?;
    if size == 0 {
        return Ok(Some(String::new()));
    }
    let mut piece = vec![0; size + 2];
    if stream.read_exact(&mut piece).is_err() {
        return Ok(None);
    }
    piece.truncate(size);
    Ok(Some(String::from_utf8_lossy(&piece).into_owned()))
}

fn line(stream: &mut TcpStream) -> Result<Option<String>> {
    let mut line = String::new();
    while !line.ends_with("\r\n") {
        match byte(stream)? {
            Some(byte) => line.push(char::from(byte)),
            None => return Ok(None),
        }
    }
    Ok(Some(line.trim_end().to_owned()))
}

fn byte(stream: &mut TcpStream) -> Result<Option<u8>> {
    let mut bytes = [0];
    match stream.read(&mut bytes) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(bytes.first().copied()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
        // A read with a time limit is interrupted when the process has stood still (signal(7)).
        Err(error) if error.kind() == ErrorKind::Interrupted => byte(stream),
        Err(error) => Err(error.into()),
    }
}

/// By HTTP/2 with prior knowledge: a POST of this body and these trailers for each path, all at once. Answers the status, the
/// body and the trailers of each.
pub fn http2(nest: &Nest, paths: &[&str], body: &'static str) -> Result<Vec<(u16, String, String)>> {
    let stream = connect(nest)?;
    stream.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let (mut client, connection) = h2::client::handshake(stream).await?;
        let driver = tokio::spawn(connection);
        let mut waiting = Vec::new();
        for path in paths {
            client = client.ready().await?;
            let request = http::Request::post(format!("http://test{path}")).body(())?;
            let (answer, mut to) = client.send_request(request, false)?;
            to.send_data(body.into(), false)?;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-last", "word".parse()?);
            to.send_trailers(trailers)?;
            waiting.push(answer);
        }
        let mut answers = Vec::new();
        for answer in waiting {
            let (head, mut body) = answer.await?.into_parts();
            let mut text = Vec::new();
            while let Some(piece) = body.data().await {
                let piece = piece?;
                body.flow_control().release_capacity(piece.len())?;
                text.extend_from_slice(&piece);
            }
            let trailers = body.trailers().await?.unwrap_or_default();
            let last = trailers.get("x-last").and_then(|value| value.to_str().ok()).unwrap_or("");
            answers.push((
                head.status.as_u16(),
                String::from_utf8_lossy(&text).into_owned(),
                last.to_owned(),
            ));
        }
        drop(client);
        driver.await??;
        Ok(answers)
    })
}
