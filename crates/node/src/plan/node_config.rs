//! The node's config, and the one that is derived from it for the handler `run-shared`.

use grants::{Mode, Policy};
use toml_edit::{Array, DocumentMut, value};

use crate::model::Refusal;
use crate::paths::NODE_CONFIG;
use crate::refuse;

const HEADER: &str = "# Made by run-wasm-node of config.toml, for the handler run-shared: the same with shared as the first mode.\n";

/// Reads a node config as the shim does.
///
/// # Errors
/// A sentence with the `name` of the file and the line.
pub fn check(name: &str, text: &str) -> Result<Policy, Refusal> {
    Policy::parse(text).map_err(|error| Refusal(format!("the node config {name}, {error}")))
}

/// The config of `run-shared`. `None`: the node's config does not allow shared mode.
pub fn shared(text: &str) -> Result<Option<String>, Refusal> {
    let policy = check(NODE_CONFIG, text)?;
    if !policy.modes.contains(&Mode::Shared) {
        return Ok(None);
    }
    let Ok(mut document) = text.parse::<DocumentMut>() else {
        return refuse!("the node config {NODE_CONFIG} is no TOML");
    };
    let others = policy.modes.iter().filter(|mode| **mode != Mode::Shared);
    let modes: Array = [&Mode::Shared].into_iter().chain(others).map(ToString::to_string).collect();
    document.insert("modes", value(modes));
    Ok(Some(format!("{HEADER}{document}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_admin_decided_holds_for_both_handlers() {
        let text = shared("# ours\n[limits]\nmemory = \"1GiB\"\n").unwrap().unwrap();
        assert!(text.contains("# ours\n") && text.contains("memory = \"1GiB\""), "{text}");
        let policy = Policy::parse(&text).unwrap();
        assert_eq!(policy.modes, [Mode::Shared, Mode::Normal]);
    }

    #[test]
    fn a_node_without_shared_mode_has_no_such_handler() {
        assert_eq!(shared("modes = [\"normal\"]\n").unwrap(), None);
    }
}
