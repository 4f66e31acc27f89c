//! `run.wasm/plug`: components that are linked into the container's own when it is loaded.

use std::path::PathBuf;

use crate::annotations::list;
use crate::error::shown;
use crate::path;

/// The most of them.
const MOST: usize = 31;

/// The files of a comma-separated list, in its order.
///
/// # Errors
/// What is wrong with it, to follow the annotation's name.
pub(crate) fn paths(text: &str) -> Result<Vec<PathBuf>, String> {
    let paths = list(text, |part| {
        path::normalise(part).map(PathBuf::from).map_err(|why| format!("`{}` {why}", shown(part)))
    })?;
    if paths.is_empty() {
        return Err("it names no file".to_owned());
    }
    if paths.len() > MOST {
        return Err(format!("it names {} files; the limit is {MOST}", paths.len()));
    }
    let twice =
        paths.iter().enumerate().find(|(at, path)| paths.iter().take(*at).any(|before| before == *path));
    match twice {
        Some((_, path)) => Err(format!("it names `{}` twice", shown(&path.to_string_lossy()))),
        None => Ok(paths),
    }
}
