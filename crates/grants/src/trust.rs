//! Trust groups: whose containers may share a process in shared mode.

use oci_spec::runtime::Spec;

use crate::grants::Grants;
use crate::identity;
use crate::policy::{Policy, Trust};
use crate::process::User;

/// What the containers of one host process have in common. The kernel sees one user; so all of them are this user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrustGroup {
    /// containerd's namespace.
    pub namespace: String,
    /// The Kubernetes namespace, or the pod's uid, as the node's policy has it; `None` where it trusts the whole node, and
    /// for containers without a pod.
    pub within: Option<String>,
    /// Identity and umask of the process.
    pub user: User,
}

impl TrustGroup {
    /// The group of a container in this containerd `namespace`.
    pub fn of(namespace: &str, spec: &Spec, grants: &Grants, policy: &Policy) -> TrustGroup {
        let within = identity::pod(spec).and_then(|pod| match policy.shared.trust {
            Trust::Node => None,
            Trust::Namespace => Some(pod.namespace.to_owned()),
            Trust::Pod => Some(pod.uid.to_owned()),
        });
        TrustGroup { namespace: namespace.to_owned(), within, user: grants.user().clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(namespace: &str, uid: &str, user: u32, policy: &str) -> TrustGroup {
        let spec = serde_json::json!({
            "ociVersion": "1.1.0",
            "process": { "args": ["/app.wasm"], "cwd": "/", "user": { "uid": user, "gid": 0 } },
            "root": { "path": "rootfs" },
            "annotations": {
                "io.kubernetes.cri.sandbox-name": "web",
                "io.kubernetes.cri.sandbox-namespace": namespace,
                "io.kubernetes.cri.sandbox-uid": uid,
            },
        });
        let (spec, policy) = (serde_json::from_value(spec).unwrap(), Policy::parse(policy).unwrap());
        TrustGroup::of("k8s.io", &spec, &crate::derive(&spec, &policy).unwrap(), &policy)
    }

    #[test]
    fn pods_of_one_namespace_and_user_share_unless_the_node_says_otherwise() {
        let same = |policy: &str, namespace, uid, user| {
            group("shop", "1", 1000, policy) == group(namespace, uid, user, policy)
        };
        assert!(same("", "shop", "2", 1000));
        assert!(!same("", "bank", "1", 1000));
        assert!(!same("", "shop", "1", 1001));
        assert!(!same("[shared]\ntrust = \"pod\"", "shop", "2", 1000));
        assert!(same("[shared]\ntrust = \"node\"", "bank", "2", 1000));
        assert!(!same("[shared]\ntrust = \"node\"", "bank", "2", 1001));
    }
}
