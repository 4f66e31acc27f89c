//! Stories: tests that start from nothing and leave nothing.

use anyhow::Result;

use crate::containerd::{Containerd, Version};
use crate::nest::Nest;
use crate::node::Node;

/// Tells a story with a containerd of its own, then checks that nothing is left of it.
pub fn told(version: Version, story: impl FnOnce(&Containerd) -> Result<()>) -> Result<()> {
    let daemon = Containerd::start(version)?;
    judged(&daemon, story(&daemon))
}

/// Tells a story of pods with a node of its own, then checks that nothing is left of it.
pub fn told_on_a_node(version: Version, story: impl FnOnce(&Node) -> Result<()>) -> Result<()> {
    let node = Node::start(version)?;
    judged(node.containerd(), story(&node))
}

fn judged(daemon: &Containerd, result: Result<()>) -> Result<()> {
    let result = result.and_then(|()| daemon.nest().assert_clean());
    if let Err(error) = &result {
        eprintln!("containerd's log ends with:\n{}\n{error:#}", daemon.log_end());
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
    ($($stories:tt)*) => { $crate::tests_of_stories! { [Containerd, told] $($stories)* } };
}

/// The same for stories of pods: `fn story(node) { ... }`.
#[macro_export]
macro_rules! pod_stories {
    ($($stories:tt)*) => { $crate::tests_of_stories! { [Node, told_on_a_node] $($stories)* } };
}

/// The tests that both of the above make: of what a story is given, and who tells it.
#[doc(hidden)]
#[macro_export]
macro_rules! tests_of_stories {
    ([$given:ident, $teller:ident]) => {};
    ([$given:ident, $teller:ident] $(#[$meta:meta])* fn $name:ident($it:ident) $body:block $($rest:tt)*) => {
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "not every story uses all of it")]
            use super::*;

            fn story($it: &$crate::$given) -> anyhow::Result<()> {
                $body
                Ok(())
            }

            #[test]
            fn containerd_1_7() -> anyhow::Result<()> {
                $crate::$teller($crate::Version::V1_7, story)
            }

            #[test]
            fn containerd_2_1() -> anyhow::Result<()> {
                $crate::$teller($crate::Version::V2_1, story)
            }
        }
        $crate::tests_of_stories! { [$given, $teller] $($rest)* }
    };
}
