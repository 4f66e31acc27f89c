//! `http URL`: a GET by wasi:http. Prints `status N` and then the body, or `error: CODE` and exits 1.

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

fn get(url: &str) -> Result<(), String> {
    let response = response_to(request(url)?)?;
    println!("status {}", response.status());
    print_body(&response)
}

fn main() {
    let url = std::env::args().nth(1).expect("usage: http URL");
    if let Err(error) = get(&url) {
        println!("error: {error}");
        std::process::exit(1);
    }
}
