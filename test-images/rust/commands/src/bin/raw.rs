//! The file calls of WASI as they are, without a C library that tidies up paths before they leave the guest. Paths are below
//! the guest's `/` and go to the host as written; in them `%00` and `%0a` are the bytes NUL and newline. Prints `ok`, what was
//! read or `ok N`, else `error: CODE`, and exits 1.

use std::collections::BTreeMap;

#[cfg(target_env = "p2")]
#[path = "../raw/p2.rs"]
mod calls;
#[cfg(not(target_env = "p2"))]
#[path = "../raw/p1.rs"]
mod calls;

const USAGE: &str = "usage: raw read PATH | read-link-itself PATH | read-below DIR PATH | write PATH TEXT | cut PATH | resize PATH BYTES | \
                     times PATH | rename FROM TO | link FROM TO | symlink TARGET PATH | readlink PATH | mkdir PATH | \
                     unlink PATH | race COUNT PATH | race-write COUNT PATH TEXT | open-all PATH | long-path MIB | \
                     fill PATH MIB | until PATH TEXT";

/// What a call came to, or the name of its error.
type Outcome = Result<String, String>;

fn bytes_of(path: &str) -> String {
    path.replace("%00", "\0").replace("%0a", "\n")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Does the same again and again; a line `COUNT OUTCOME` for each outcome that there was.
fn again(count: &str, act: impl Fn() -> Outcome) -> Outcome {
    let count: usize = count.parse().map_err(|_| USAGE)?;
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..count {
        let outcome = act().unwrap_or_else(|error| format!("error: {error}"));
        *outcomes.entry(outcome).or_default() += 1;
    }
    Ok(outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}\n")).collect())
}

/// Opens a file until it is refused, and keeps all of them open meanwhile.
fn open_all(path: &str) -> Outcome {
    let mut open = Vec::new();
    let error = loop {
        match calls::open(path) {
            Ok(file) => open.push(file),
            Err(error) => break error,
        }
    };
    Ok(format!("refused at {}: {error}", open.len()))
}

/// Reads a file until it says what is wanted, however often that fails.
fn until(path: &str, wanted: &str) -> String {
    println!("reading");
    while calls::read(path, true).as_deref() != Ok(wanted.as_bytes()) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    "ok".to_owned()
}

fn act(words: &[&str]) -> Outcome {
    let paths: Vec<String> = words.iter().skip(1).map(|word| bytes_of(word)).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let done = |()| "ok".to_owned();
    match (words[0], &paths[..]) {
        ("read", [path]) => calls::read(path, true).map(text),
        ("read-link-itself", [path]) => calls::read(path, false).map(text),
        ("read-below", [dir, path]) => calls::read_below(dir, path).map(text),
        ("write", [path, text]) => calls::write(path, text.as_bytes()).map(done),
        ("cut", [path]) => calls::cut(path).map(done),
        ("resize", [path, size]) => calls::resize(path, size.parse().map_err(|_| USAGE)?).map(done),
        ("times", [path]) => calls::times(path).map(done),
        ("rename", [from, to]) => calls::rename(from, to).map(done),
        ("link", [from, to]) => calls::link(from, to).map(done),
        ("symlink", [target, path]) => calls::symlink(target, path).map(done),
        ("readlink", [path]) => calls::readlink(path),
        ("mkdir", [path]) => calls::mkdir(path).map(done),
        ("unlink", [path]) => calls::unlink(path).map(done),
        ("race", [count, path]) => again(count, || calls::read(path, true).map(text)),
        ("race-write", [count, path, text]) => again(count, || calls::write(path, text.as_bytes()).map(done)),
        ("open-all", [path]) => open_all(path),
        ("fill", [path, mib]) => calls::fill(path, mib.parse().map_err(|_| USAGE)?).map(done),
        ("until", [path, wanted]) => Ok(until(path, wanted)),
        ("long-path", [mib]) => {
            let path = "p".repeat(mib.parse::<usize>().map_err(|_| USAGE)? << 20);
            Ok(format!("done: {:?}", calls::read(&path, true)))
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = if arguments.is_empty() { Err(USAGE.to_owned()) } else { act(&arguments) };
    match outcome {
        Ok(text) => println!("{}", text.trim_end()),
        Err(error) => {
            println!("error: {error}");
            std::process::exit(1);
        }
    }
}
