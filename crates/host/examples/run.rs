//! `run CODE[#FUNCTION] [ARG...]`: runs code from the example `compile` in this process, without a jail.
//!
//! The guest has the arguments and this process's standard streams, and nothing else. For measurements.

use std::os::fd::AsFd;
use std::process::ExitCode;

use grants::Policy;
use host::guest::{self, Launch};
use host::protocol::NameFiles;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let spec = serde_json::json!({
        "ociVersion": "1.1.0",
        "process": { "args": args, "cwd": "/", "user": { "uid": 0, "gid": 0 } },
        "root": { "path": "/" },
    });
    let grants = grants::derive(&serde_json::from_value(spec)?, &Policy::default())?;
    let launch = Launch {
        code: grants.entry().path.clone(),
        root: None,
        grants,
        denials: host::guest::Denials::new(|denial| eprintln!("{}", denial.sentence)),
        server: host::guest::Handle::new(|_| {}),
        names: NameFiles::default(),
        roots: None,
        stdin: Some(std::io::stdin().as_fd().try_clone_to_owned()?),
        stdout: Some(std::io::stdout().as_fd().try_clone_to_owned()?),
        stderr: Some(std::io::stderr().as_fd().try_clone_to_owned()?),
    };
    let prepared = guest::prepare(&host::guest::Library::default(), launch)?;
    Ok(ExitCode::from(guest::run(prepared, None).code))
}
