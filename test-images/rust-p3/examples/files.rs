//! File access by subcommand. Prints the result on stdout, or `error: KIND` and fails.

use guests_p3::{arguments, conclude, kind, print};
use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, ErrorCode, OpenFlags, PathFlags,
};
use wasip3::wit_stream;

const USAGE: &str = "usage: files read PATH | write PATH TEXT | append PATH TEXT | list DIR | stat PATH | remove PATH | \
                     rename FROM TO | mkdir PATH | symlink TARGET LINK | escape [PATH]";

/// The preopen `/`.
fn root() -> Result<Descriptor, String> {
    let mut preopens = preopens::get_directories().into_iter();
    preopens.find(|(_, path)| path == "/").map(|(root, _)| root).ok_or_else(|| "NotFound".to_owned())
}

/// Paths of the command line are absolute, those of WASI relative to a preopen.
fn relative(path: &str) -> String {
    match path.trim_start_matches('/') {
        "" => ".".to_owned(),
        path => path.to_owned(),
    }
}

fn done(outcome: Result<(), ErrorCode>) -> Result<String, String> {
    outcome.map(|()| "ok".to_owned()).map_err(kind)
}

/// Opens a path relative to the root, as it stands.
async fn open(path: &str, how: OpenFlags, access: DescriptorFlags) -> Result<Descriptor, String> {
    let opened = root()?.open_at(PathFlags::SYMLINK_FOLLOW, path.to_owned(), how, access).await;
    opened.map_err(kind)
}

async fn content(path: &str) -> Result<Vec<u8>, String> {
    let file = open(path, OpenFlags::empty(), DescriptorFlags::READ).await?;
    let (content, ended) = file.read_via_stream(0);
    let content = content.collect().await;
    ended.await.map_err(kind)?;
    Ok(content)
}

async fn write(path: &str, text: &str, append: bool) -> Result<String, String> {
    let how = if append { OpenFlags::CREATE } else { OpenFlags::CREATE | OpenFlags::TRUNCATE };
    let file = open(&relative(path), how, DescriptorFlags::WRITE).await?;
    let (mut writer, reader) = wit_stream::new();
    let written = if append { file.append_via_stream(reader) } else { file.write_via_stream(reader, 0) };
    writer.write_all(text.as_bytes().to_vec()).await;
    drop(writer);
    done(written.await)
}

/// The sorted names of a directory, one a line; those of directories end in `/`.
async fn list(path: &str) -> Result<String, String> {
    let directory = open(&relative(path), OpenFlags::DIRECTORY, DescriptorFlags::READ).await?;
    let (entries, ended) = directory.read_directory();
    let entries = entries.collect().await.into_iter();
    ended.await.map_err(kind)?;
    let slash = |entry: &DescriptorType| if matches!(entry, DescriptorType::Directory) { "/" } else { "" };
    let mut names: Vec<String> =
        entries.map(|entry| format!("{}{}", entry.name, slash(&entry.type_))).collect();
    names.sort();
    Ok(names.join("\n"))
}

/// `KIND SIZE` of the path itself: a symlink is not followed.
async fn stat(path: &str) -> Result<String, String> {
    let stat = root()?.stat_at(PathFlags::empty(), relative(path)).await.map_err(kind)?;
    let kind = match stat.type_ {
        DescriptorType::Directory => "directory",
        DescriptorType::SymbolicLink => "symlink",
        DescriptorType::RegularFile => "file",
        _ => "other",
    };
    Ok(format!("{kind} {}", stat.size))
}

async fn remove(path: &str) -> Result<String, String> {
    match stat(path).await?.starts_with("directory") {
        true => done(root()?.remove_directory_at(relative(path)).await),
        false => done(root()?.unlink_file_at(relative(path)).await),
    }
}

async fn symlink(target: &str, link: &str) -> Result<String, String> {
    done(root()?.symlink_at(target.to_owned(), relative(link)).await)
}

/// Tries to read `target`, a path of the host, around the preopens. Prints a line for each attempt: `ATTEMPT: error: KIND`,
/// or `ATTEMPT: REACHED N bytes`. Fails if anything was reached.
async fn escape(target: &str) -> Result<(), ()> {
    let upwards = format!("../../../..{target}");
    let mut contained = true;
    let mut attempts = Vec::new();
    for path in
        [target.to_owned(), upwards.clone(), format!("tmp/../{upwards}"), format!("proc/self/root{target}")]
    {
        attempts.push((format!("read {path}"), content(&path).await));
    }
    for (link, to) in [
        ("escape-absolute", target),
        ("escape-upwards", &upwards),
        ("tmp/escape-absolute", target),
        ("tmp/escape-upwards", &upwards),
    ] {
        let outcome = match symlink(to, link).await {
            Ok(_) => content(link).await,
            Err(error) => Err(error),
        };
        attempts.push((format!("read by symlink {link} -> {to}"), outcome));
        // Not there in most cases: making it was refused.
        let _ = remove(link).await;
    }
    for (what, outcome) in attempts {
        let told = match outcome {
            Ok(content) => {
                contained = false;
                format!("REACHED {} bytes", content.len())
            }
            Err(error) => format!("error: {error}"),
        };
        print(format!("{what}: {told}\n")).await?;
    }
    if contained { Ok(()) } else { Err(()) }
}

async fn run() -> Result<(), ()> {
    let arguments = arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["read", path] => {
            content(&relative(path)).await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
        ["write", path, text] => write(path, text, false).await,
        ["append", path, text] => write(path, text, true).await,
        ["list", path] => list(path).await,
        ["stat", path] => stat(path).await,
        ["remove", path] => remove(path).await,
        ["rename", from, to] => match (root(), root()) {
            (Ok(old), Ok(new)) => done(old.rename_at(relative(from), &new, relative(to)).await),
            (Err(error), _) | (_, Err(error)) => Err(error),
        },
        ["mkdir", path] => match root() {
            Ok(root) => done(root.create_directory_at(relative(path)).await),
            Err(error) => Err(error),
        },
        ["symlink", target, link] => symlink(target, link).await,
        ["escape"] => return escape("/etc/passwd").await,
        ["escape", path] => return escape(path).await,
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(text) if text.is_empty() || text.ends_with('\n') => print(text).await,
        Ok(text) => print(text + "\n").await,
        Err(error) => conclude(Err(error)).await,
    }
}

guests_p3::command!(run);
