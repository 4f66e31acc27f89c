//! What the guest is started with: entry, argv, environment, working directory, identity.

use std::path::PathBuf;

use oci_spec::runtime::{Process, User as SpecUser};
use serde::{Deserialize, Serialize};

use crate::error::{GrantError, shown};
use crate::native::claims_wasm;
use crate::path;

/// Which Wasm runs: `args[0]`, read as `path` or `path#function`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// A path in the root filesystem as the pod wrote it; empty when there are no args, or only a function.
    pub path: PathBuf,
    /// The export to call. It may itself contain `#`, as in `wasi:cli/run@0.2.0#run`.
    pub function: Option<String>,
}

impl Entry {
    /// What an exec with these arguments runs in a container that was created with this entry.
    pub(crate) fn for_exec(&self, args: &[String]) -> Result<Entry, GrantError> {
        let named = entry(args)?;
        Ok(match &named.function {
            Some(_) if named.path.as_os_str().is_empty() => {
                Entry { path: self.path.clone(), function: named.function }
            }
            _ if args.first().is_some_and(|first| claims_wasm(first)) => named,
            _ => self.clone(),
        })
    }
}

/// Whom the host process runs as.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
    /// 0o022 unless the spec says otherwise.
    pub umask: u32,
}

const DEFAULT_UMASK: u32 = 0o022;
/// The bits that umask(2) looks at.
const PERMISSIONS: u32 = 0o777;

pub(crate) fn entry(args: &[String]) -> Result<Entry, GrantError> {
    let Some(first) = args.first() else { return Ok(Entry::default()) };
    let (path, function) = match first.split_once('#') {
        Some((_, "")) => {
            let why = "ends in `#` without a function; write `path#function`, or the path alone";
            return Err(GrantError::Argument { index: 0, shown: shown(first), why });
        }
        Some((path, function)) => (path, Some(function.to_owned())),
        None => (first.as_str(), None),
    };
    Ok(Entry { path: PathBuf::from(path), function })
}

/// argv, whole. A NUL byte in it would cut an argument short in guests that read C strings.
pub(crate) fn args(process: &Process) -> Result<Vec<String>, GrantError> {
    let args = process.args().clone().unwrap_or_default();
    match args.iter().enumerate().find(|(_, arg)| arg.contains('\0')) {
        Some((index, arg)) => {
            Err(GrantError::Argument { index, shown: shown(arg), why: "has a NUL byte; remove it" })
        }
        None => Ok(args),
    }
}

/// The environment: split at the first `=`, a later value replaces an earlier one in its place.
pub(crate) fn env(process: &Process) -> Result<Vec<(String, String)>, GrantError> {
    let mut env: Vec<(String, String)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (index, entry) in process.env().iter().flatten().enumerate() {
        // Only the name is shown: values may be secrets.
        let wrong = |name: &str, why| GrantError::Environment { index, shown: shown(name), why };
        let (name, value) = entry.split_once('=').ok_or_else(|| wrong(entry, "has no `=`"))?;
        if name.is_empty() {
            return Err(wrong(name, "has no name before its `=`"));
        }
        if entry.contains('\0') {
            return Err(wrong(name, "has a NUL byte"));
        }
        let place = *places.entry(name).or_insert(env.len());
        match env.get_mut(place) {
            Some((_, old)) => value.clone_into(old),
            None => env.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok(env)
}

/// The working directory, normalised; `/` when the spec leaves it empty.
pub(crate) fn cwd(process: &Process) -> Result<String, GrantError> {
    let cwd = process.cwd().to_string_lossy();
    if cwd.is_empty() {
        return Ok("/".to_owned());
    }
    path::normalise(&cwd).map_err(|why| GrantError::WorkingDirectory { cwd: shown(&cwd), why })
}

/// The identity. The id 4294967295 is refused: to the kernel it is -1, "leave it as it is", and it is root's then.
pub(crate) fn user(user: &SpecUser) -> Result<User, GrantError> {
    let additional_gids = user.additional_gids().clone().unwrap_or_default();
    if [user.uid(), user.gid()].iter().chain(&additional_gids).any(|id| *id == u32::MAX) {
        return Err(GrantError::NoSuchUser);
    }
    Ok(User {
        uid: user.uid(),
        gid: user.gid(),
        additional_gids,
        umask: user.umask().unwrap_or(DEFAULT_UMASK) & PERMISSIONS,
    })
}
