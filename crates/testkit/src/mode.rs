//! The mode in which containers run that do not choose one: every test of the normal mode runs in shared mode, too.
//!
//! Where the modes differ in what is right, a test asks [`is_shared`]. One that means nothing in shared mode says so by
//! [`means_nothing`].

use crate::patience::here;
use crate::tally::tell;

/// What chooses it: `normal`, as without it, or `shared`.
const VARIABLE: &str = "RUN_WASM_TESTS_MODE";

/// How long a manager of a test, and a host of its, stays without a container, in milliseconds: what a test leaves behind is
/// looked for soon.
const IDLE_EXIT: u64 = 300;

/// Whether containers share hosts.
pub fn is_shared() -> bool {
    std::env::var(VARIABLE).is_ok_and(|mode| mode == "shared")
}

/// Whether a test says nothing about shared mode, which is told to whoever reads the tests' output, with the reason.
pub fn means_nothing(reason: &str) -> bool {
    if is_shared() {
        let thread = std::thread::current();
        tell(&format!("without a meaning in shared mode: {}: {reason}", thread.name().unwrap_or("?")));
    }
    is_shared()
}

/// The handler of pods that do not choose one.
pub(crate) fn handler() -> &'static str {
    if is_shared() { "run-shared" } else { "run" }
}

/// The handler of pods that may have native containers.
pub(crate) fn native_handler() -> &'static str {
    if is_shared() { "native-shared" } else { "native" }
}

/// The node config of a container: what its test has, and the mode.
pub(crate) fn config(own: Option<&str>) -> Option<String> {
    if is_shared() { Some(shared(own.unwrap_or_default())) } else { own.map(str::to_owned) }
}

/// A node config whose pods run in shared mode unless they say otherwise. The lines of `own` keep their numbers.
pub(crate) fn shared(own: &str) -> String {
    let lacks = |key: &str| !own.lines().any(|line| line.starts_with(key));
    let mut config = String::new();
    if lacks("modes") {
        config.push_str("modes = [\"shared\", \"normal\"]");
        // A config that begins with an empty line has it taken.
        config.push_str(if own.starts_with('\n') { "" } else { "\n" });
    }
    config.push_str(own);
    if lacks("[shared]") {
        config.push_str(&format!("\n[shared]\nidle-exit = \"{}ms\"\n", here(IDLE_EXIT)));
    }
    config
}
