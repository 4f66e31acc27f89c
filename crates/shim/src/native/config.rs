//! The spec that a runtime gets: containerd's, word for word, but for what only this shim knows.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use oci_spec::runtime::LinuxNamespaceType as Kind;
use serde_json::{Map, Value, json};

use super::namespaces::{Place, word};

/// What is changed.
#[derive(Debug)]
pub struct Changes<'a> {
    /// The root file system.
    pub root: &'a Path,
    pub namespaces: &'a [(Kind, Place)],
    /// Most of the memory, in bytes, by the node's config.
    pub memory: Option<u64>,
}

/// Writes the spec of one bundle into another.
pub fn write(from: &Path, to: &Path, changes: &Changes<'_>) -> Result<()> {
    let config = from.join("config.json");
    let context = || format!("cannot read the OCI spec {}", config.display());
    let mut spec: Value =
        serde_json::from_slice(&fs::read(&config).with_context(context)?).with_context(context)?;
    change(&mut spec, changes).with_context(context)?;
    let file = to.join("config.json");
    fs::write(&file, serde_json::to_vec(&spec)?).with_context(|| format!("cannot write {}", file.display()))
}

fn change(spec: &mut Value, changes: &Changes<'_>) -> Result<()> {
    *place(spec, &["root", "path"])? = json!(changes.root);
    let namespaces = changes.namespaces.iter().filter_map(|(kind, place)| match place {
        Place::Node => None,
        Place::Own => Some(json!({ "type": word(*kind) })),
        Place::At(path) => Some(json!({ "type": word(*kind), "path": path })),
    });
    *place(spec, &["linux", "namespaces"])? = namespaces.collect();
    // The name of a namespace that others have, too, is not this container's to set: its runtime would refuse it.
    if !changes.namespaces.contains(&(Kind::Uts, Place::Own))
        && let Some(spec) = spec.as_object_mut()
    {
        spec.remove("hostname");
        spec.remove("domainname");
    }
    // This process may be one that the kernel is to spare; its children are not.
    let score = place(spec, &["process", "oomScoreAdj"])?;
    if score.is_null() {
        *score = json!(0);
    }
    if let Some(most) = changes.memory {
        bound(place(spec, &["linux", "resources", "memory", "limit"])?, most);
    }
    Ok(())
}

/// The value at a path of names, made where there is none.
fn place<'a>(value: &'a mut Value, names: &[&str]) -> Result<&'a mut Value> {
    names.iter().try_fold(value, |value, name| {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        let object = value.as_object_mut().with_context(|| format!("{name} is in no object"))?;
        Ok(object.entry(*name).or_insert(Value::Null))
    })
}

/// Lowers a limit of memory, or sets one; none, zero and negative numbers mean that there is none.
fn bound(limit: &mut Value, most: u64) {
    if limit.as_u64().is_none_or(|limit| limit == 0 || limit > most) {
        *limit = json!(most);
    }
}

/// What a resize asks for (a `LinuxResources` as JSON), within the node's bound of memory.
pub fn bounded(resources: &[u8], memory: Option<u64>) -> Result<Vec<u8>> {
    let mut resources: Value = serde_json::from_slice(resources).context("the resources are no JSON")?;
    if let Some(most) = memory
        && resources.get("memory").is_some_and(Value::is_object)
    {
        bound(place(&mut resources, &["memory", "limit"])?, most);
    }
    Ok(serde_json::to_vec(&resources)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(mut spec: Value, namespaces: &[(Kind, Place)], memory: Option<u64>) -> Value {
        change(&mut spec, &Changes { root: Path::new("/bundle/rootfs"), namespaces, memory }).unwrap();
        spec
    }

    #[test]
    fn all_that_containerd_wrote_stays_but_root_and_namespaces() {
        let spec = json!({
            "ociVersion": "1.2.1", "surprise": {"of": ["a", "later", "release"]}, "root": {"path": "rootfs", "readonly": true},
            "process": {"args": ["sh"], "oomScoreAdj": 999}, "linux": {"namespaces": [{"type": "pid"}], "seccomp": {"x": 1}},
        });
        let places = [
            (Kind::Pid, Place::Node),
            (Kind::Ipc, Place::At("/proc/7/ns/ipc".into())),
            (Kind::Mount, Place::Own),
        ];
        let mut expected = spec.clone();
        expected["root"]["path"] = "/bundle/rootfs".into();
        expected["linux"]["namespaces"] =
            json!([{"type": "ipc", "path": "/proc/7/ns/ipc"}, {"type": "mount"}]);
        assert_eq!(changed(spec, &places, None), expected);
    }

    #[test]
    fn a_container_that_shares_its_uts_namespace_sets_no_host_name() {
        let spec = json!({"hostname": "a", "process": {}});
        assert_eq!(changed(spec.clone(), &[(Kind::Uts, Place::Own)], None)["hostname"], "a");
        assert_eq!(changed(spec, &[(Kind::Uts, Place::At("/x".into()))], None)["hostname"], Value::Null);
    }

    #[test]
    fn a_child_of_a_process_that_the_kernel_spares_is_not_spared() {
        assert_eq!(changed(json!({}), &[], None)["process"]["oomScoreAdj"], 0);
        assert_eq!(changed(json!({"process": {"oomScoreAdj": -5}}), &[], None)["process"]["oomScoreAdj"], -5);
    }

    #[test]
    fn the_nodes_bound_of_memory_holds_at_create_and_at_a_resize() {
        for (asked, most, given) in
            [(json!(null), 10, 10), (json!(-1), 10, 10), (json!(20), 10, 10), (json!(5), 10, 5)]
        {
            let spec = json!({"linux": {"resources": {"memory": {"limit": asked}}}});
            assert_eq!(changed(spec, &[], Some(most))["linux"]["resources"]["memory"]["limit"], given);
            let resize =
                bounded(json!({"memory": {"limit": asked}}).to_string().as_bytes(), Some(most)).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&resize).unwrap()["memory"]["limit"], given);
        }
        let none = bounded(br#"{"cpu":{"shares":2}}"#, Some(10)).unwrap();
        assert_eq!(none, br#"{"cpu":{"shares":2}}"#, "what is not asked for is not changed");
    }
}
