//! Landlock: the kernel's second opinion on the file system. One rule, on the containers' directory.

use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::{CONTAINERS, JailError};

/// What a container may do with its mounts; each mount's own flags narrow it further. Device nodes and sockets are
/// never made, programs never executed.
fn within_containers(abi: ABI) -> landlock::BitFlags<AccessFs> {
    let never = AccessFs::Execute
        | AccessFs::MakeBlock
        | AccessFs::MakeChar
        | AccessFs::MakeSock
        | AccessFs::MakeFifo
        | AccessFs::IoctlDev;
    AccessFs::from_all(abi) & !never
}

/// Restricts this thread. Returns false where the kernel has no landlock.
pub(super) fn restrict(compiler: bool) -> Result<bool, JailError> {
    let abi = ABI::V6;
    let close = || -> Result<RulesetStatus, landlock::RulesetError> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .scope(Scope::from_all(abi))?;
        if compiler {
            rules = rules.handle_access(AccessNet::from_all(abi))?;
        }
        let mut rules = rules.create()?;
        if !compiler && let Ok(containers) = PathFd::new(CONTAINERS) {
            rules = rules.add_rule(PathBeneath::new(containers, within_containers(abi)))?;
        }
        Ok(rules.restrict_self()?.ruleset)
    };
    match close() {
        Ok(status) => Ok(status != RulesetStatus::NotEnforced),
        Err(error) => Err(JailError::Step {
            step: "restrict the file system",
            source: io::Error::other(error.to_string()),
        }),
    }
}
