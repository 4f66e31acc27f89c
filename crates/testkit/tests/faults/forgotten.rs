//! What containerd has forgotten: it removed the bundle, and will never ask for the task again.

use std::fs;

use anyhow::Result;
use testkit::{Bundle, Generation, alone, eventually};

use super::works;

#[test]
fn a_task_whose_bundle_is_gone_ends_and_so_does_a_shim_that_has_no_other() -> Result<()> {
    alone(|nest| {
        let none = Bundle::of(nest, "never-created", "sleep.wasm")?;
        let _never_created = none.shim(Generation::V3)?;
        let created = Bundle::of(nest, "created", "sleep.wasm")?;
        let only_created = created.shim(Generation::V3)?;
        only_created.create()?;
        let running = Bundle::of(nest, "running", "sleep.wasm")?;
        let runs = running.shim(Generation::V3)?;
        runs.create()?;
        runs.start()?;
        let other = Bundle::of(nest, "other", "sleep.wasm")?;
        let lives = other.shim(Generation::V3)?;
        lives.create()?;
        lives.start()?;
        eventually("they run", 30, || {
            Ok(runs.output().contains("sleeping") && lives.output().contains("sleeping"))
        })?;

        for bundle in [&none, &created, &running] {
            fs::remove_dir_all(bundle.path())?;
        }
        assert_eq!(runs.wait()?, 137);
        eventually("there is but the shim of the other", 30, || Ok(nest.shims()?.len() == 1))?;
        lives.kill(15)?;
        assert_eq!(lives.wait()?, 143, "one that is not forgotten runs on");
        lives.delete()?;
        lives.shutdown()?;
        works(nest, "running")
    })
}
