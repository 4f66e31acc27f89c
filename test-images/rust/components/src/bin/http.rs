//! `http [--follow] [--first BYTES] URL`: a GET by wasi:http. Prints `status N` and then the body, or `error: CODE` and exits 1.
//! - `--follow` makes the request that a redirect asks for, too.
//! - `--first BYTES` prints no body, but `read N bytes` once so many have come.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingResponse, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

use std::io::Write;

/// Splits `scheme://authority/path`; the path is `/` where there is none.
fn request(url: &str) -> Result<OutgoingRequest, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{url} is not a URL"))?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let request = OutgoingRequest::new(Fields::new());
    let refused = |what: &str| format!("{what} of {url} is invalid");
    request.set_scheme(Some(&scheme)).map_err(|()| refused("the scheme"))?;
    request.set_authority(Some(authority)).map_err(|()| refused("the authority"))?;
    request.set_path_with_query(Some(path)).map_err(|()| refused("the path"))?;
    Ok(request)
}

fn response_to(request: OutgoingRequest) -> Result<IncomingResponse, String> {
    let pending = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(response))) => Ok(response),
        Some(Ok(Err(code))) => Err(format!("{code:?}")),
        Some(Err(())) | None => Err("the host gave no response".to_owned()),
    }
}

fn print_body(response: &IncomingResponse) -> Result<(), String> {
    let body = response.consume().map_err(|()| "the body was already taken")?;
    let stream = body.stream().map_err(|()| "the body's stream was already taken")?;
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(chunk) => std::io::stdout().write_all(&chunk).map_err(|error| error.to_string())?,
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}

/// Reads until `wanted` bytes have come, and keeps none.
fn read_first(response: &IncomingResponse, wanted: usize) -> Result<(), String> {
    let body = response.consume().map_err(|()| "the body was already taken")?;
    let stream = body.stream().map_err(|()| "the body's stream was already taken")?;
    let mut length = 0;
    while length < wanted {
        length += stream.blocking_read(64 * 1024).map_err(|error| format!("after {length} bytes: {error:?}"))?.len();
    }
    println!("read {wanted} bytes");
    Ok(())
}

fn location(response: &IncomingResponse) -> Option<String> {
    let values = response.headers().get(&"location".to_owned());
    values.into_iter().next().and_then(|value| String::from_utf8(value).ok())
}

fn get(url: &str, follow: bool, first: Option<usize>) -> Result<(), String> {
    let mut response = response_to(request(url)?)?;
    println!("status {}", response.status());
    while follow && response.status() / 100 == 3 {
        let url = location(&response).ok_or("a redirect to nowhere")?;
        response = response_to(request(&url)?)?;
        println!("status {}", response.status());
    }
    match first {
        Some(wanted) => read_first(&response, wanted),
        None => print_body(&response),
    }
}

fn main() {
    const USAGE: &str = "usage: http [--follow] [--first BYTES] URL";
    let mut arguments = std::env::args().skip(1);
    let (mut follow, mut first) = (false, None);
    let url = loop {
        match arguments.next().expect(USAGE).as_str() {
            "--follow" => follow = true,
            "--first" => first = Some(arguments.next().and_then(|bytes| bytes.parse().ok()).expect(USAGE)),
            url => break url.to_owned(),
        }
    };
    if let Err(error) = get(&url, follow, first) {
        println!("error: {error}");
        std::process::exit(1);
    }
}
