//! What containerd asks of a running container: the process of an exec, and a line below it other resources, as JSON.
#![no_main]

use grants::{Policy, derive};
use libfuzzer_sys::fuzz_target;
use oci_spec::runtime::{LinuxResources, Process};
use properties::{are_consistent, is_a_sentence, spec};
use serde_json::json;

const MOST: u64 = 64 << 20;

fuzz_target!(|text: &str| {
    let (process, resources) = text.split_once('\n').unwrap_or((text, ""));
    let container =
        derive(&spec(json!({ "run.wasm/egress": "a.example.com:443" })), &Policy::default()).unwrap();
    if let Ok(process) = serde_json::from_str::<Process>(process) {
        match container.for_exec(&process) {
            Ok(exec) => {
                are_consistent(&exec);
                // Nothing but what is said to be its own.
                assert!(exec.user() == container.user() && exec.root() == container.root());
                assert!(exec.volumes() == container.volumes() && exec.egress() == container.egress());
                assert!(
                    exec.listen() == container.listen() && exec.memory_limit() == container.memory_limit()
                );
            }
            Err(error) => is_a_sentence(&error),
        }
    }
    if let Ok(resources) = serde_json::from_str::<LinuxResources>(resources) {
        let resized = container.resized(&resources, Some(MOST));
        are_consistent(&resized);
        assert!(resized.memory_limit().is_none_or(|limit| limit <= MOST));
        assert!(resized.cpu().period > 0 && resized.cpu().shares > 0);
        assert!(resized.egress() == container.egress() && resized.args() == container.args());
    }
});
