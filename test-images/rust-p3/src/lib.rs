//! What the guests share: output by WASI 0.3's streams, and the export that makes a command.

use std::fmt::Debug;

use wasip3::cli::{environment, stderr, stdout};
use wasip3::wit_bindgen::{StreamReader, StreamResult, StreamWriter};
use wasip3::wit_stream;

/// Exports an async function, `() -> Result<(), ()>`, as the command's `run`.
#[macro_export]
macro_rules! command {
    ($run:ident) => {
        struct Command;
        impl wasip3::exports::cli::run::Guest for Command {
            async fn run() -> Result<(), ()> {
                $run().await
            }
        }
        wasip3::cli::command::export!(Command);
    };
}

/// The arguments after the program's own name.
pub fn arguments() -> Vec<String> {
    environment::get_arguments().into_iter().skip(1).collect()
}

/// Writes `text` to stdout; it is out when this returns.
pub async fn print(text: impl Into<Vec<u8>>) -> Result<(), ()> {
    let (writer, reader) = wit_stream::new();
    let written = stdout::write_via_stream(reader);
    write(writer, text.into()).await?;
    written.await.map_err(drop)
}

/// The same to stderr.
pub async fn complain(text: impl Into<Vec<u8>>) -> Result<(), ()> {
    let (writer, reader) = wit_stream::new();
    let written = stderr::write_via_stream(reader);
    write(writer, text.into()).await?;
    written.await.map_err(drop)
}

async fn write(mut stream: StreamWriter<u8>, text: Vec<u8>) -> Result<(), ()> {
    let unwritten = stream.write_all(text).await;
    if unwritten.is_empty() { Ok(()) } else { Err(()) }
}

/// What the guests of the other releases call an error code: the name of a `std::io::ErrorKind` where it has one.
pub fn kind(code: impl Debug) -> String {
    let path = format!("{code:?}");
    let name = path.rsplit("::").next().unwrap_or_default();
    match name {
        // What `wasi:filesystem` and `wasi:sockets` say.
        "Access" | "NotPermitted" | "AccessDenied" => "PermissionDenied",
        "NoEntry" => "NotFound",
        "Exist" => "AlreadyExists",
        "ReadOnly" => "ReadOnlyFilesystem",
        "NotEmpty" => "DirectoryNotEmpty",
        other => other,
    }
    .to_owned()
}

/// Prints `ok TEXT`, or `error: KIND` and fails: the end of a guest that tries what may be denied.
pub async fn conclude(outcome: Result<String, String>) -> Result<(), ()> {
    match outcome {
        Ok(text) => print(format!("ok {text}\n")).await,
        Err(kind) => {
            print(format!("error: {kind}\n")).await?;
            Err(())
        }
    }
}

/// Copies what `from` brings to `to`, each chunk before the next is read. Returns how many bytes there were.
pub async fn copy(from: &mut StreamReader<u8>, to: &mut StreamWriter<u8>) -> usize {
    let mut copied = 0;
    loop {
        let (result, chunk) = from.read(Vec::with_capacity(64 * 1024)).await;
        copied += chunk.len();
        let unwritten = to.write_all(chunk).await;
        if !matches!(result, StreamResult::Complete(_)) || !unwritten.is_empty() {
            return copied;
        }
    }
}
