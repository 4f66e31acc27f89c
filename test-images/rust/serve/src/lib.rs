//! A server: the first part of a request's path says what it does, the second one with what.
//!
//! `hello`, `count` (of this instance's requests), `env/NAME`, `config/NAME`, `file/PATH`, `head` (what came), `echo` (body and
//! trailers, as they come), `big/BYTES`, `stderr/TEXT`, `get/AUTHORITY` (an outgoing request), and what servers should not do:
//! `sleep/MILLISECONDS`, `never`, `spin`, `trap`, `half` (traps in the middle of the body), `stall` (stops in the middle of it),
//! `silent` (answers nothing), `error` (answers with an error code), `hog/MIB`, `leak` (handles). To gRPC's health check
//! (`grpc.health.v1.Health/Check`) it says that it is well.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
    Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

struct Server;

wasip2::http::proxy::export!(Server);

impl Guest for Server {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (what, with) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        match what {
            "" | "hello" => say(out, 200, "hello by 0.2\n"),
            "count" => say(out, 200, &format!("{}\n", count())),
            "env" => say(out, 200, &std::env::var(with).unwrap_or_default()),
            "file" => match std::fs::read_to_string(format!("/{with}")) {
                Ok(text) => say(out, 200, &text),
                Err(error) => say(out, 404, &format!("{:?}\n", error.kind())),
            },
            "head" => say(out, 200, &head(&request)),
            "echo" => echo(request, out),
            "big" => big(out, with.parse().unwrap_or(0)),
            "stderr" => {
                // In three writes: what others write must not come between.
                let (first, second) = with.split_at(with.len() / 2);
                eprint!("{first}");
                std::thread::sleep(Duration::from_millis(1));
                eprint!("{second}");
                eprintln!();
                say(out, 200, "said\n");
            }
            "get" => match get(with) {
                Ok(text) => say(out, 200, &text),
                Err(error) => say(out, 502, &format!("{error}\n")),
            },
            "sleep" => {
                std::thread::sleep(Duration::from_millis(with.parse().unwrap_or(0)));
                say(out, 200, "slept\n");
            }
            "never" => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            "spin" => {
                let mut number = 0u32;
                while number < u32::MAX || with.is_empty() {
                    number = std::hint::black_box(number.wrapping_add(1));
                }
            }
            "trap" => trapped(),
            "half" => {
                let (_body, stream) = begin(out, 200);
                stream.blocking_write_and_flush(b"the first half").expect("a reader");
                trapped();
            }
            "stall" => {
                let (_body, stream) = begin(out, 200);
                stream.blocking_write_and_flush(b"the first half").expect("a reader");
                loop {
                    std::thread::sleep(Duration::from_secs(3600));
                }
            }
            "silent" => {}
            "error" => ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("no mood".to_owned())))),
            "hog" => {
                let bytes = with.parse::<usize>().unwrap_or(0) << 20;
                let hog = std::hint::black_box(vec![1u8; bytes]);
                say(out, 200, &format!("{} bytes\n", hog.len()));
            }
            "leak" => {
                for _ in 0..1000 {
                    std::mem::forget(Fields::new());
                }
                say(out, 200, "leaked\n");
            }
            "grpc.health.v1.Health" => serving(out),
            _ => say(out, 404, "no such thing\n"),
        }
    }
}

fn count() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed) + 1
}

#[inline(never)]
fn trapped() -> ! {
    std::io::stderr().flush().expect("stderr");
    std::process::abort()
}

fn begin(out: ResponseOutparam, status: u16) -> (OutgoingBody, OutputStream) {
    let fields = Fields::from_list(&[("content-type".to_owned(), b"text/plain".to_vec())]).expect("right fields");
    let response = OutgoingResponse::new(fields);
    response.set_status_code(status).expect("a right status");
    let body = response.body().expect("a fresh response");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("a fresh body");
    (body, stream)
}

fn say(out: ResponseOutparam, status: u16, text: &str) {
    let (body, stream) = begin(out, status);
    for part in text.as_bytes().chunks(4096) {
        if stream.blocking_write_and_flush(part).is_err() {
            return;
        }
    }
    drop(stream);
    let _vanished = OutgoingBody::finish(body, None);
}

/// A `HealthCheckResponse` whose status is SERVING: one message that is not compressed, of one field.
fn serving(out: ResponseOutparam) {
    let fields = Fields::from_list(&[("content-type".to_owned(), b"application/grpc".to_vec())]).expect("right fields");
    let response = OutgoingResponse::new(fields);
    let body = response.body().expect("a fresh response");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("a fresh body");
    let _vanished = stream.blocking_write_and_flush(&[0, 0, 0, 0, 2, 0x08, 1]);
    drop(stream);
    let trailers = Fields::from_list(&[("grpc-status".to_owned(), b"0".to_vec())]).expect("right fields");
    let _vanished = OutgoingBody::finish(body, Some(trailers));
}

fn big(out: ResponseOutparam, bytes: usize) {
    let (body, stream) = begin(out, 200);
    let mut left = bytes;
    while left > 0 {
        let part = left.min(4096);
        if stream.blocking_write_and_flush(&[b'x'; 4096][..part]).is_err() {
            return;
        }
        left -= part;
    }
    drop(stream);
    let _vanished = OutgoingBody::finish(body, None);
}

fn head(request: &IncomingRequest) -> String {
    let mut text = format!("{:?} {}\n", request.method(), request.path_with_query().unwrap_or_default());
    text += &format!("authority {}\n", request.authority().unwrap_or_default());
    for (name, value) in request.headers().entries() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
    }
    text
}

/// Each piece goes out before the next is read, and the trailers when they have come.
fn echo(request: IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("a fresh request");
    let (body, to) = begin(out, 200);
    let from = incoming.stream().expect("a fresh body");
    loop {
        match from.blocking_read(4096) {
            Ok(piece) => {
                if to.blocking_write_and_flush(&piece).is_err() {
                    return;
                }
            }
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                eprintln!("echo: {}", error.to_debug_string());
                return;
            }
        }
    }
    drop((from, to));
    let trailers = IncomingBody::finish(incoming);
    trailers.subscribe().block();
    let trailers = trailers.get().and_then(Result::ok).and_then(Result::ok).flatten();
    let copied = trailers.map(|trailers| Fields::from_list(&trailers.entries()).expect("right fields"));
    let _vanished = OutgoingBody::finish(body, copied);
}

fn get(authority: &str) -> Result<String, String> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).map_err(|()| "the authority is invalid")?;
    request.set_path_with_query(Some("/hello")).expect("a path");
    let pending = wasip2::http::outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(response))) => Ok(format!("status {}\n", response.status())),
        Some(Ok(Err(code))) => Err(format!("{code:?}")),
        Some(Err(())) | None => Err("the host gave no response".to_owned()),
    }
}
