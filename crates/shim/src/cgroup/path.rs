//! The two forms of `linux.cgroupsPath`: a path (cgroupfs driver) and `slice:prefix:name` (systemd driver).

use std::path::{Component, PathBuf};

use anyhow::{Result, bail};

use super::scope::Scope;

/// The cgroup's path below the root of the hierarchy, e.g. `kubepods/burstable/pod1/c1`.
///
/// The systemd form names a scope below a slice; dashes in a slice's name are levels of the tree
/// (systemd.slice(5)): `kubepods-pod1.slice:cri:c1` is `kubepods.slice/kubepods-pod1.slice/cri-c1.scope`.
pub fn relative(cgroups_path: &str) -> Result<PathBuf> {
    let path = match scope(cgroups_path)? {
        Some(scope) => expand(&scope.slice)?.join(scope.unit),
        None => PathBuf::from(cgroups_path.trim_start_matches('/')),
    };
    if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        bail!("linux.cgroupsPath {cgroups_path:?} of the spec names no cgroup of a container's own");
    }
    Ok(path)
}

/// The scope that a path of the systemd form means; `None` for the other form.
pub fn scope(cgroups_path: &str) -> Result<Option<Scope>> {
    let parts: Vec<&str> = cgroups_path.split(':').collect();
    let [slice, prefix, name] = parts.as_slice() else { return Ok(None) };
    let unit = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
    let slice = if slice.is_empty() { "system.slice" } else { slice };
    // systemd.unit(5): what a unit's name is made of.
    let fits = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-@\\".contains(c));
    if !fits(&unit) || !fits(slice) {
        bail!(
            "linux.cgroupsPath {cgroups_path:?} of the spec has characters that no unit of systemd has in its name"
        );
    }
    Ok(Some(Scope { unit, slice: slice.to_owned() }))
}

/// The folders of a slice.
fn expand(slice: &str) -> Result<PathBuf> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

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
    fn only_a_systemd_path_has_a_scope() {
        let scope_of = |unit: &str, slice: &str| Some(Scope { unit: unit.into(), slice: slice.into() });
        assert_eq!(scope("a-b.slice:cri:c1").unwrap(), scope_of("cri-c1.scope", "a-b.slice"));
        assert_eq!(scope("::c1").unwrap(), scope_of("c1.scope", "system.slice"));
        assert_eq!(scope("/kubepods/pod1/c1").unwrap(), None);
    }

    #[test]
    fn a_path_that_leaves_the_tree_or_is_its_root_is_refused() {
        for path in [
            "/a/../..",
            "/",
            "",
            "..",
            "a.slice:x:../../b",
            "a--b.slice:x:y",
            "user:x:y",
            "a.slice:x:y'z",
            "a.slice:x/y:z",
        ] {
            assert!(relative(path).is_err(), "{path}");
        }
    }
}
