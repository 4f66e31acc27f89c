//! Copies the stream of stdin to that of stdout until EOF.

use guests_p3::copy;
use wasip3::cli::{stdin, stdout};
use wasip3::wit_stream;

async fn run() -> Result<(), ()> {
    let (mut input, ended) = stdin::read_via_stream();
    let (mut output, reader) = wit_stream::new();
    let written = stdout::write_via_stream(reader);
    copy(&mut input, &mut output).await;
    drop((input, output));
    ended.await.map_err(drop)?;
    written.await.map_err(drop)
}

guests_p3::command!(run);
