//! The two forms of `linux.cgroupsPath`: a path (cgroupfs driver) and `slice:prefix:name` (systemd driver).

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};

/// The cgroup's path below the root of the hierarchy, e.g. `kubepods/burstable/pod1/c1`.
///
/// The systemd form names a scope below a slice; dashes in a slice's name are levels of the tree
/// (systemd.slice(5)): `kubepods-pod1.slice:cri:c1` is `kubepods.slice/kubepods-pod1.slice/cri-c1.scope`.
pub fn relative(cgroups_path: &str) -> Result<PathBuf> {
    if let [slice, prefix, name] = cgroups_path.split(':').collect::<Vec<_>>().as_slice() {
        let scope =
            if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
        return inside(cgroups_path, &expand(slice)?.join(scope));
    }
    inside(cgroups_path, Path::new(cgroups_path.trim_start_matches('/')))
}

fn expand(slice: &str) -> Result<PathBuf> {
    let slice = if slice.is_empty() { "system.slice" } else { slice };
    let Some(stem) = slice.strip_suffix(".slice") else {
        bail!("the slice {slice:?} does not end in .slice")
    };
    if stem == "-" {
        return Ok(PathBuf::new());
    }
    let mut path = PathBuf::new();
    let mut prefix = String::new();
    for part in stem.split('-') {
        if part.is_empty() {
            bail!("the slice {slice:?} has an empty level");
        }
        if !prefix.is_empty() {
            prefix.push('-');
        }
        prefix.push_str(part);
        path.push(format!("{prefix}.slice"));
    }
    Ok(path)
}

fn inside(original: &str, path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        bail!("linux.cgroupsPath {original:?} of the spec names no cgroup of a container's own");
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_below_the_root() {
        assert_eq!(relative("/kubepods/pod1/c1").unwrap(), Path::new("kubepods/pod1/c1"));
        assert_eq!(relative("default/c1").unwrap(), Path::new("default/c1"));
    }

    #[test]
    fn a_systemd_path_becomes_a_scope_below_its_slices() {
        let path = relative("kubepods-burstable-pod1.slice:cri-containerd:abc").unwrap();
        let expected =
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-abc.scope";
        assert_eq!(path, Path::new(expected));
        assert_eq!(relative(":cri:abc").unwrap(), Path::new("system.slice/cri-abc.scope"));
    }

    #[test]
    fn a_path_that_leaves_the_tree_or_is_its_root_is_refused() {
        for path in ["/a/../..", "/", "", "..", "a.slice:x:../../b", "a--b.slice:x:y", "user:x:y"] {
            assert!(relative(path).is_err(), "{path}");
        }
    }
}
