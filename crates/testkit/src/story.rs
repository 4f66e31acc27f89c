//! Stories: tests that start from nothing and leave nothing.

use anyhow::Result;

use crate::containerd::{Containerd, Version};
use crate::nest::Nest;

/// Tells a story with a containerd of its own, then checks that nothing is left of it.
pub fn told(version: Version, story: impl FnOnce(&Containerd) -> Result<()>) -> Result<()> {
    let daemon = Containerd::start(version)?;
    let result = story(&daemon).and_then(|()| daemon.nest().assert_clean());
    if result.is_err() {
        eprintln!("containerd's log ends with:\n{}", daemon.log_end());
    }
    result
}

/// Tells a story without containerd.
pub fn alone(story: impl FnOnce(&Nest) -> Result<()>) -> Result<()> {
    let nest = Nest::new()?;
    story(&nest)?;
    nest.assert_clean()
}

/// Makes each story a test against every supported containerd: `story::containerd_1_7`, `story::containerd_2_1`.
#[macro_export]
macro_rules! stories {
    ($($(#[$meta:meta])* fn $name:ident($daemon:ident) $body:block)*) => {
        $(
            $(#[$meta])*
            mod $name {
                #[allow(unused_imports, reason = "not every story uses all of it")]
                use super::*;

                fn story($daemon: &$crate::Containerd) -> anyhow::Result<()> {
                    $body
                    Ok(())
                }

                #[test]
                fn containerd_1_7() -> anyhow::Result<()> {
                    $crate::told($crate::Version::V1_7, story)
                }

                #[test]
                fn containerd_2_1() -> anyhow::Result<()> {
                    $crate::told($crate::Version::V2_1, story)
                }
            }
        )*
    };
}
