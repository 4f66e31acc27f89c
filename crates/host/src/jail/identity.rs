//! The identity of the pod, and no capability beside it.

use rustix::fs::Mode;
use rustix::process::{Gid, Uid, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::{Jail, JailError, step};

/// Whether this user namespace lets anybody set groups. One that an ordinary user made does not (user_namespaces(7)): what runs
/// in it keeps that user's own. To be asked while `/proc` is there.
pub(super) fn may_set_groups() -> bool {
    !std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|word| word.trim() == "deny")
}

/// Takes on the jail's user and groups and drops every capability from every set, for uid 0 as for any other.
pub(super) fn assume(jail: &Jail, may_set_groups: bool) -> Result<(), JailError> {
    // The bounding set goes first: it takes CAP_SETPCAP, which the rest takes away.
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // Older kernels know fewer capabilities than the library does.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return step("shrink the bounding set", Err(error)),
        }
    }
    step("clear ambient capabilities", clear_ambient_capability_set())?;
    let groups: Vec<Gid> = jail.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    if may_set_groups || !groups.is_empty() {
        step("set the groups", set_thread_groups(&groups))?;
    }
    let gid = Gid::from_raw(jail.gid);
    step("set the group", set_thread_res_gid(gid, gid, gid))?;
    let uid = Uid::from_raw(jail.uid);
    step("set the user", set_thread_res_uid(uid, uid, uid))?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    step("drop capabilities", set_capabilities(None, none))?;
    if let Some(mask) = jail.umask {
        umask(Mode::from_raw_mode(mask & 0o777));
    }
    Ok(())
}
