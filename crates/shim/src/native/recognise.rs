//! Whether a container is native: its entry point is an ELF file or a script, and nothing about it claims to be Wasm.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use grants::Policy;
use grants::native::claims_wasm;
use grants::policy::Native;
use oci_spec::runtime::Process;

use crate::mount::{Tree, native_rootfs, open_file};
use crate::signatures::Candidate;
use crate::task::bundle::Bundle;
use crate::task::{Context, Order};
use crate::wasm::native_content;

/// Enough of a file to tell what it is.
const HEAD: usize = 4096;

/// Where programs are looked for by whose `PATH` says nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A native container, its root file system as containerd's snapshotter describes it, and the name of its image.
#[derive(Debug)]
pub struct Found {
    pub root: Tree,
    pub image: Option<String>,
}

/// Looks what a container is; `None` for all that is not native, or may not be on this node. A native one's image has been
/// verified, where the policy wants it signed.
pub async fn recognise(
    context: &Context,
    order: &Order,
    bundle: &Bundle,
    policy: &Policy,
) -> Result<Option<Found>> {
    let Some(process) = bundle.spec().process() else { return Ok(None) };
    let entry = process.args().as_ref().and_then(|args| args.first()).map(String::as_str).unwrap_or_default();
    // Most Wasm is told by its name, and asked about no further.
    if policy.native == Native::Deny || entry.is_empty() || claims_wasm(entry) {
        return Ok(None);
    }
    let mut known = None;
    if let Some(containerd) = context.containerd.of(&order.namespace).await?
        && let Some(origin) = containerd.origin_of(&order.id).await?
    {
        let content = native_content(&containerd, &origin.image, origin.made_of.as_ref()).await?;
        let Some(content) = content else { return Ok(None) };
        known = Some((containerd, origin, content));
    }
    let root = native_rootfs(&order.rootfs, &bundle.rootfs())?;
    if !is_native(&root, process, entry) {
        return Ok(None);
    }
    let candidate =
        known.as_ref().map(|(containerd, origin, content)| Candidate { containerd, origin, content });
    context.signatures.require(policy, candidate).await?;
    Ok(Some(Found { root, image: known.map(|(_, origin, _)| origin.image.name) }))
}

/// Whether the entry point is a program. What cannot be found or read is none: the sentence about it is not ours.
fn is_native(root: &Tree, process: &Process, entry: &str) -> bool {
    places(process, entry).into_iter().any(|place| {
        let Ok(mut file) = open_file(root.as_fd(), &place, u64::MAX) else { return false };
        let runs = file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0);
        let mut head = Vec::with_capacity(HEAD);
        let read = file.by_ref().take(HEAD as u64).read_to_end(&mut head);
        runs && read.is_ok() && image::sniff(&head).is_native()
    })
}

/// Where the entry point may be: at its path, or, by its name alone, in the folders of the container's `PATH`, in this order.
fn places(process: &Process, entry: &str) -> Vec<PathBuf> {
    let cwd = process.cwd();
    if entry.contains('/') {
        return vec![cwd.join(entry)];
    }
    let env = process.env().iter().flatten().rev();
    let path = env.filter_map(|entry| entry.strip_prefix("PATH=")).next().unwrap_or(PATH);
    path.split(':').map(|folder| cwd.join(Path::new(folder)).join(entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn process(env: &[&str]) -> Process {
        serde_json::from_value(json!({"user": {"uid": 0, "gid": 0}, "cwd": "/srv", "env": env, "args": []}))
            .unwrap()
    }

    #[test]
    fn a_name_is_looked_up_in_the_containers_own_path() {
        let places = |env: &[&str], entry| {
            let places = super::places(&process(env), entry);
            places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(places(&["PATH=/a", "PATH=/b:/c", "X=1"], "app"), "/b/app /c/app");
        assert_eq!(places(&["PATH=bin"], "app"), "/srv/bin/app");
        assert!(places(&[], "app").starts_with("/usr/local/sbin/app "));
        assert_eq!(places(&["PATH=/a"], "/bin/app"), "/bin/app");
        assert_eq!(places(&["PATH=/a"], "./app"), "/srv/./app");
    }
}
