//! File access by subcommand. Prints the result on stdout, or `error: KIND` (a `std::io::ErrorKind`) and exits 1.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

const USAGE: &str = "usage: files read PATH | write PATH TEXT | append PATH TEXT | list DIR | stat PATH | remove PATH | \
                     rename FROM TO | mkdir PATH | symlink TARGET LINK | escape [PATH]";

fn append(path: &str, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

/// The sorted names of a directory, one a line; those of directories end in `/`.
fn list(directory: &str) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    Ok(names.join("\n"))
}

/// `KIND SIZE` of the path itself: a symlink is not followed.
fn stat(path: &str) -> io::Result<String> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "symlink",
        kind if kind.is_file() => "file",
        _ => "other",
    };
    Ok(format!("{kind} {}", metadata.len()))
}

fn remove(path: &str) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) }
}

#[allow(deprecated, reason = "std's stable name for a symlink on WASI; its successor is unstable there")]
fn symlink(target: &str, link: &str) -> io::Result<()> {
    fs::soft_link(target, link)
}

/// Tries to read `target`, a path of the host, around the preopens. Prints a line for each attempt: `ATTEMPT: error: KIND`,
/// or `ATTEMPT: REACHED N bytes`. Returns whether nothing was reached.
fn escape(target: &str) -> bool {
    let relative = target.trim_start_matches('/');
    let mut contained = true;
    let mut attempt = |what: String, outcome: io::Result<usize>| match outcome {
        Ok(length) => {
            contained = false;
            println!("{what}: REACHED {length} bytes");
        }
        Err(error) => println!("{what}: error: {:?}", error.kind()),
    };
    let read = |path: &str| fs::read(path).map(|bytes| bytes.len());

    for path in [
        format!("../../../../{relative}"),
        format!("/../../../../{relative}"),
        format!("/tmp/../../../{relative}"),
        format!("/proc/self/root/{relative}"),
        format!("/proc/1/root/{relative}"),
    ] {
        attempt(format!("read {path}"), read(&path));
    }
    for (link, to) in [
        ("/escape-absolute", target.to_owned()),
        ("/escape-upwards", format!("../../../../{relative}")),
        ("/tmp/escape-absolute", target.to_owned()),
        ("/tmp/escape-upwards", format!("../../../../{relative}")),
    ] {
        if Path::new(link).parent().is_some_and(Path::is_dir) {
            let outcome = symlink(&to, link).and_then(|()| read(link));
            attempt(format!("read by symlink {link} -> {to}"), outcome);
            // Not there in most cases: making it was refused.
            let _ = fs::remove_file(link);
        }
    }
    contained
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = |()| "ok".to_owned();
    let outcome = match arguments[..] {
        ["read", path] => fs::read_to_string(path),
        ["write", path, text] => fs::write(path, text).map(done),
        ["append", path, text] => append(path, text).map(done),
        ["list", directory] => list(directory),
        ["stat", path] => stat(path),
        ["remove", path] => remove(path).map(done),
        ["rename", from, to] => fs::rename(from, to).map(done),
        ["mkdir", path] => fs::create_dir(path).map(done),
        ["symlink", target, link] => symlink(target, link).map(done),
        ["escape"] => std::process::exit(i32::from(!escape("/etc/passwd"))),
        ["escape", path] => std::process::exit(i32::from(!escape(path))),
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(1);
        }
    };
    match outcome {
        Ok(text) if text.is_empty() || text.ends_with('\n') => print!("{text}"),
        Ok(text) => println!("{text}"),
        Err(error) => {
            println!("error: {:?}", error.kind());
            std::process::exit(1);
        }
    }
}
