//! The mode in which containers run that do not choose one: every test of the normal mode runs in shared mode, too.

/// What chooses it: `normal`, as without it, or `shared`.
const VARIABLE: &str = "RUN_WASM_TESTS_MODE";

/// Whether containers share hosts.
pub fn is_shared() -> bool {
    std::env::var(VARIABLE).is_ok_and(|mode| mode == "shared")
}

/// The node config of a container: what its test has, and the mode. A manager of a test soon ends that has nothing to do.
pub(crate) fn config(own: Option<&str>) -> Option<String> {
    if !is_shared() {
        return own.map(str::to_owned);
    }
    let own = own.unwrap_or_default();
    let modes = if own.contains("modes =") { "" } else { "modes = [\"shared\", \"normal\"]\n" };
    let idle = if own.contains("[shared]") { "" } else { "[shared]\nidle-exit = \"1s\"\n" };
    Some(format!("{modes}{own}\n{idle}"))
}
