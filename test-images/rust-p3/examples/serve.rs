//! A server of WASI 0.3: the first part of a request's path says what it does, as for the server of 0.2.

use std::sync::atomic::{AtomicU32, Ordering};

use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::wit_bindgen::{self, StreamWriter};
use wasip3::{wit_future, wit_stream};

struct Server;

wasip3::http::service::export!(Server);

const HOUR: u64 = 3_600_000_000_000;

impl wasip3::exports::http::handler::Guest for Server {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let (what, with) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        match what {
            "" | "hello" => say(200, "hello by 0.3\n"),
            "count" => say(200, &format!("{}\n", count())),
            "env" => say(200, &std::env::var(with).unwrap_or_default()),
            "file" => match std::fs::read_to_string(format!("/{with}")) {
                Ok(text) => say(200, &text),
                Err(error) => say(404, &format!("{:?}\n", error.kind())),
            },
            "head" => say(200, &head(&request)),
            "echo" => Ok(echo(request)),
            "big" => {
                let bytes: usize = with.parse().unwrap_or(0);
                Ok(stream(200, async move |mut to: StreamWriter<u8>| {
                    let mut left = bytes;
                    while left > 0 {
                        let part = left.min(4096);
                        if !to.write_all(vec![b'x'; part]).await.is_empty() {
                            return;
                        }
                        left -= part;
                    }
                }))
            }
            "stderr" => {
                eprintln!("{with}");
                say(200, "said\n")
            }
            "get" => match get(with).await {
                Ok(text) => say(200, &text),
                Err(error) => say(502, &format!("{error}\n")),
            },
            "sleep" => {
                wait_for(with.parse::<u64>().unwrap_or(0) * 1_000_000).await;
                say(200, "slept\n")
            }
            "never" => loop {
                wait_for(HOUR).await;
            },
            "spin" => {
                let mut number = 0u32;
                loop {
                    number = std::hint::black_box(number.wrapping_add(1));
                }
            }
            "trap" => trapped(),
            "half" => Ok(stream(200, async |mut to: StreamWriter<u8>| {
                to.write_all(b"the first half".to_vec()).await;
                trapped();
            })),
            "stall" => Ok(stream(200, async |mut to: StreamWriter<u8>| {
                to.write_all(b"the first half".to_vec()).await;
                loop {
                    wait_for(HOUR).await;
                }
            })),
            "error" => Err(ErrorCode::InternalError(Some("no mood".to_owned()))),
            "hog" => {
                let bytes = with.parse::<usize>().unwrap_or(0) << 20;
                let hog = std::hint::black_box(vec![1u8; bytes]);
                say(200, &format!("{} bytes\n", hog.len()))
            }
            _ => say(404, "no such thing\n"),
        }
    }
}

fn count() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed) + 1
}

#[inline(never)]
fn trapped() -> ! {
    std::process::abort()
}

fn fields() -> Fields {
    Fields::from_list(&[("content-type".to_owned(), b"text/plain".to_vec())]).expect("right fields")
}

/// An answer whose body is written by `write` when the head is out.
fn stream<F>(status: u16, write: impl FnOnce(StreamWriter<u8>) -> F + 'static) -> Response
where
    F: Future<Output = ()> + 'static,
{
    let (to, body) = wit_stream::new();
    let (done, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields(), Some(body), trailers);
    response.set_status_code(status).expect("a right status");
    wit_bindgen::spawn_local(async move {
        write(to).await;
        drop(done);
    });
    response
}

fn say(status: u16, text: &str) -> Result<Response, ErrorCode> {
    let text = text.to_owned();
    Ok(stream(status, async move |mut to: StreamWriter<u8>| {
        to.write_all(text.into_bytes()).await;
    }))
}

fn head(request: &Request) -> String {
    let mut text = format!("{:?} {}\n", request.get_method(), request.get_path_with_query().unwrap_or_default());
    text += &format!("authority {}\n", request.get_authority().unwrap_or_default());
    for (name, value) in request.get_headers().copy_all() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
    }
    text
}

/// Body and trailers go back as they come.
fn echo(request: Request) -> Response {
    let (consumed, result) = wit_future::new(|| Ok(()));
    let (mut from, trailers) = Request::consume_body(request, result);
    let (mut to, body) = wit_stream::new();
    let (last, sent) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields(), Some(body), sent);
    wit_bindgen::spawn_local(async move {
        guests_p3::copy(&mut from, &mut to).await;
        drop((to, consumed));
        if let Ok(Some(trailers)) = trailers.await {
            let copy = Fields::from_list(&trailers.copy_all()).expect("right fields");
            let _vanished = last.write(Ok(Some(copy))).await;
        }
    });
    response
}

async fn get(authority: &str) -> Result<String, String> {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _) = Request::new(Fields::new(), None, trailers, None);
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).map_err(|()| "the authority is invalid")?;
    request.set_path_with_query(Some("/hello")).expect("a path");
    let response = client::send(request).await.map_err(|code| format!("{code:?}"))?;
    Ok(format!("status {}\n", response.get_status_code()))
}
