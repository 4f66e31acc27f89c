//! The file calls of WASI as they are: the same as the guest `raw` of the other releases. Paths are below the guest's `/` and go
//! to the host as written; in them `%00` and `%0a` are the bytes NUL and newline. Prints what came of it, or `error: CODE`
//! and fails.

use std::collections::BTreeMap;

use guests_p3::{arguments, print};
use wasip3::clocks::system_clock::Instant;
use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use wasip3::wit_stream;

const USAGE: &str = "usage: as raw in test-images/rust/commands";

type Outcome = Result<String, String>;

fn root() -> Result<Descriptor, String> {
    preopens::get_directories().into_iter().next().map(|(root, _)| root).ok_or_else(|| "no preopen".to_owned())
}

fn name(error: ErrorCode) -> String {
    let path = format!("{error:?}");
    path.rsplit("::").next().unwrap_or_default().to_owned()
}

fn done(outcome: Result<(), ErrorCode>) -> Outcome {
    outcome.map(|()| "ok".to_owned()).map_err(name)
}

async fn open_at(
    folder: &Descriptor,
    path: &str,
    follow: bool,
    open: OpenFlags,
    flags: DescriptorFlags,
) -> Result<Descriptor, String> {
    let lookup = if follow { PathFlags::SYMLINK_FOLLOW } else { PathFlags::empty() };
    folder.open_at(lookup, path.to_owned(), open, flags).await.map_err(name)
}

async fn content(file: Descriptor) -> Outcome {
    let (content, ended) = file.read_via_stream(0);
    let content = content.collect().await;
    ended.await.map_err(name)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

async fn read(folder: &Descriptor, path: &str, follow: bool) -> Outcome {
    content(open_at(folder, path, follow, OpenFlags::empty(), DescriptorFlags::READ).await?).await
}

async fn write(path: &str, text: &str) -> Outcome {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let file = open_at(&root()?, path, true, OpenFlags::CREATE, flags).await?;
    let (mut writer, reader) = wit_stream::new();
    let written = file.write_via_stream(reader, 0);
    writer.write_all(text.as_bytes().to_vec()).await;
    drop(writer);
    done(written.await)
}

async fn resize(path: &str, size: &str) -> Outcome {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let file = open_at(&root()?, path, true, OpenFlags::empty(), flags).await?;
    done(file.set_size(size.parse().map_err(|_| USAGE)?).await)
}

async fn times(path: &str) -> Outcome {
    let epoch = || NewTimestamp::Timestamp(Instant { seconds: 0, nanoseconds: 0 });
    done(root()?.set_times_at(PathFlags::SYMLINK_FOLLOW, path.to_owned(), epoch(), epoch()).await)
}

/// Does the same again and again; a line `COUNT OUTCOME` for each outcome that there was.
async fn again(count: &str, act: impl AsyncFn() -> Outcome) -> Outcome {
    let count: usize = count.parse().map_err(|_| USAGE)?;
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..count {
        let outcome = act().await.unwrap_or_else(|error| format!("error: {error}"));
        *outcomes.entry(outcome).or_default() += 1;
    }
    Ok(outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}\n")).collect())
}

/// Opens a file until it is refused, and keeps all of them open meanwhile.
async fn open_all(path: &str) -> Outcome {
    let (root, mut open) = (root()?, Vec::new());
    let error = loop {
        match open_at(&root, path, true, OpenFlags::empty(), DescriptorFlags::READ).await {
            Ok(file) => open.push(file),
            Err(error) => break error,
        }
    };
    Ok(format!("refused at {}: {error}", open.len()))
}

async fn act(words: &[&str]) -> Outcome {
    let paths: Vec<String> =
        words.iter().skip(1).map(|word| word.replace("%00", "\0").replace("%0a", "\n")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let own = |path: &str| path.to_owned();
    let empty = PathFlags::empty();
    match (*words.first().ok_or(USAGE)?, &paths[..]) {
        ("read", [path]) => read(&root()?, path, true).await,
        ("read-link-itself", [path]) => read(&root()?, path, false).await,
        ("read-below", [folder, path]) => {
            let folder = open_at(&root()?, folder, true, OpenFlags::DIRECTORY, DescriptorFlags::READ).await?;
            read(&folder, path, true).await
        }
        ("write", [path, text]) => write(path, text).await,
        ("cut", [path]) => {
            let cut = open_at(&root()?, path, true, OpenFlags::TRUNCATE, DescriptorFlags::READ).await;
            cut.map(|_| "ok".to_owned())
        }
        ("resize", [path, size]) => resize(path, size).await,
        ("times", [path]) => times(path).await,
        ("rename", [from, to]) => done(root()?.rename_at(own(from), &root()?, own(to)).await),
        ("link", [from, to]) => done(root()?.link_at(empty, own(from), &root()?, own(to)).await),
        ("symlink", [target, path]) => done(root()?.symlink_at(own(target), own(path)).await),
        ("readlink", [path]) => root()?.readlink_at(own(path)).await.map_err(name),
        ("mkdir", [path]) => done(root()?.create_directory_at(own(path)).await),
        ("unlink", [path]) => done(root()?.unlink_file_at(own(path)).await),
        ("race", [count, path]) => {
            let root = root()?;
            again(count, async || read(&root, path, true).await).await
        }
        ("race-write", [count, path, text]) => again(count, async || write(path, text).await).await,
        ("open-all", [path]) => open_all(path).await,
        ("long-path", [mib]) => {
            let path = "p".repeat(mib.parse::<usize>().map_err(|_| USAGE)? << 20);
            Ok(format!("done: {:?}", read(&root()?, &path, true).await))
        }
        _ => Err(USAGE.to_owned()),
    }
}

async fn run() -> Result<(), ()> {
    let arguments = arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match act(&arguments).await {
        Ok(text) => print(format!("{}\n", text.trim_end())).await,
        Err(error) => {
            print(format!("error: {error}\n")).await?;
            Err(())
        }
    }
}

guests_p3::command!(run);
