//! Which files a config imports: containerd's rules, for paths and patterns in the last part of a path.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Value};

/// The imports of a config, absolute. containerd takes relative ones from the config's folder.
pub fn of(document: &DocumentMut, config: &Path) -> Vec<PathBuf> {
    let folder = config.parent().unwrap_or(Path::new("/"));
    let imports = document.get("imports").and_then(Item::as_array);
    imports.into_iter().flatten().filter_map(Value::as_str).map(|import| folder.join(import)).collect()
}

/// Whether the import `pattern` reaches the file `path`.
pub fn reaches(pattern: &Path, path: &Path) -> bool {
    let names = (pattern.file_name().and_then(|n| n.to_str()), path.file_name().and_then(|n| n.to_str()));
    match names {
        (Some(pattern_name), Some(name)) => pattern.parent() == path.parent() && fits(pattern_name, name),
        _ => false,
    }
}

/// Whether `name` fits a pattern whose only special character is `*`. Others count as letters: such a pattern reaches nothing.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            name.char_indices()
                .map(|(at, _)| at)
                .chain([name.len()])
                .any(|at| name.get(at..).is_some_and(|tail| fits(rest, tail)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_reaches_the_files_of_its_own_folder() {
        let reach = |pattern: &str, path: &str| reaches(Path::new(pattern), Path::new(path));
        assert!(reach("/etc/containerd/conf.d/*.toml", "/etc/containerd/conf.d/run-wasm.toml"));
        assert!(reach("/a/run-wasm.toml", "/a/run-wasm.toml"));
        assert!(reach("/a/*", "/a/x"));
        assert!(!reach("/a/*.toml", "/a/b/x.toml"));
        assert!(!reach("/a/*.toml", "/a/x.conf"));
        assert!(!reach("/a/[rx]*.toml", "/a/x.toml"), "what is not understood is taken for no import");
    }
}
