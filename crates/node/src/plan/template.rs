//! The Go templates of k3s and RKE2. They are text to us: what is ours is a block between two lines.

use std::path::{Path, PathBuf};

const BEGIN: &str = "# run-wasm-node: begin\n";
const END: &str = "# run-wasm-node: end\n";

/// What k3s and RKE2 render without a template.
const BASE: &str = "{{ template \"base\" . }}\n";

/// The template of configs of this version.
pub fn path(config: &Path, version: i64) -> PathBuf {
    config.with_file_name(if version < 3 { "config.toml.tmpl" } else { "config-v3.toml.tmpl" })
}

/// The template with the block, which replaces one that is there.
pub fn with_block(text: Option<&str>, tables: &str) -> String {
    let block = format!("{BEGIN}{tables}{END}");
    match text.map(|text| (text, split(text))) {
        None => format!("{BASE}\n{block}"),
        Some((_, Some((before, after)))) => format!("{before}{block}{after}"),
        Some((text, None)) => format!("{}{}\n{block}", text, if text.ends_with('\n') { "" } else { "\n" }),
    }
}

/// The template without the block; `None` when only what we began it with is left.
pub fn without_block(text: &str) -> Option<String> {
    let Some((before, after)) = split(text) else { return Some(text.to_owned()) };
    let rest = format!("{}{after}", before.strip_suffix('\n').unwrap_or(before));
    (rest.trim() != BASE.trim()).then_some(rest)
}

pub fn has_block(text: &str) -> bool {
    split(text).is_some()
}

fn split(text: &str) -> Option<(&str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some((before, after))
}
