//! The cgroup of a group's host: beside those of pods and below the same root, with the sum of its containers' limits.

use anyhow::Result;
use grants::Cpu;
use sha2::{Digest, Sha256};

use crate::cgroup::{Cgroup, Limits};

/// What a host may take beside what its containers may, in bytes: its own data and code, what calls of several guests at once
/// have it copy (two or three copies of 16 MiB on each of four threads) before that is counted as theirs, and for each
/// container stacks and buffers of the kernel. Beyond it the kernel would end all of them for what one has done.
const OWN: u64 = (64 + 192) << 20;
const EACH: u64 = 2 << 20;

/// What one container may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Bytes.
    pub memory: Option<u64>,
    pub shares: u64,
}

/// What the containers of a host may use in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    containers: u64,
    /// Those without a limit of their own.
    unlimited: u64,
    memory: u64,
    shares: u64,
}

impl Sum {
    pub fn add(&mut self, Claim { memory, shares }: Claim) {
        self.containers += 1;
        self.shares += shares;
        match memory {
            Some(bytes) => self.memory = self.memory.saturating_add(bytes),
            None => self.unlimited += 1,
        }
    }

    pub fn subtract(&mut self, Claim { memory, shares }: Claim) {
        self.containers = self.containers.saturating_sub(1);
        self.shares = self.shares.saturating_sub(shares);
        match memory {
            Some(bytes) => self.memory = self.memory.saturating_sub(bytes),
            None => self.unlimited = self.unlimited.saturating_sub(1),
        }
    }

    pub fn containers(&self) -> u64 {
        self.containers
    }

    pub fn limits(&self) -> Limits {
        let own = OWN.saturating_add(self.containers.saturating_mul(EACH));
        let limited = self.unlimited == 0 && self.containers > 0;
        Limits {
            memory: limited.then(|| self.memory.saturating_add(own)),
            // Within the CPU controller's own bounds.
            cpu: Cpu { shares: self.shares.clamp(2, 262_144), ..Cpu::default() },
            ..Limits::default()
        }
    }
}

/// Makes the cgroup of a host; `cgroups_path` is that of its first container, `name` the host's own.
pub fn cgroup(cgroups_path: &str, name: &str) -> Result<Cgroup> {
    Cgroup::create(&path(cgroups_path, name), &Sum::default().limits())
}

/// `/kubepods/burstable/pod1/c1` becomes `/kubepods/run-wasm-<name>`, and `kubepods-pod1.slice:cri:c1` becomes
/// `kubepods.slice:run-wasm:<name>`: below what the kubelet has set aside for pods, outside of any one pod. Elsewhere (`ctr`)
/// the host is its containers' neighbour.
fn path(cgroups_path: &str, name: &str) -> String {
    let digest: String = Sha256::digest(name).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    if let [slice, _, _] = cgroups_path.split(':').collect::<Vec<_>>().as_slice() {
        let stem = slice.strip_suffix(".slice").unwrap_or(slice);
        let root = match stem.find("kubepods") {
            Some(start) => stem.get(..start + "kubepods".len()).unwrap_or(stem),
            None => stem,
        };
        return format!("{root}.slice:run-wasm:{digest}");
    }
    let parts: Vec<&str> = cgroups_path.split('/').filter(|part| !part.is_empty()).collect();
    let of_pods = parts.iter().position(|part| part.contains("kubepods")).map(|place| place + 1);
    let depth = of_pods.unwrap_or(parts.len().saturating_sub(1));
    let above = parts.get(..depth).unwrap_or_default().join("/");
    format!("/{above}/run-wasm-{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_below_the_root_of_pods_and_in_no_pod() {
        let at = |path_of_one: &str| {
            path(path_of_one, "a").replace(&path("/x/y", "a")["/x/run-wasm-".len()..], "N")
        };
        assert_eq!(at("/kubepods/burstable/pod1/c1"), "/kubepods/run-wasm-N");
        assert_eq!(at("/kubelet/kubepods/pod1/c1"), "/kubelet/kubepods/run-wasm-N");
        assert_eq!(at("kubepods-burstable-pod1.slice:cri-containerd:c1"), "kubepods.slice:run-wasm:N");
        assert_eq!(at("kubelet-kubepods-pod1.slice:cri-containerd:c1"), "kubelet-kubepods.slice:run-wasm:N");
        assert_eq!(at("/default/c1"), "/default/run-wasm-N");
    }

    #[test]
    fn one_container_without_a_limit_leaves_the_host_without() {
        let mut sum = Sum::default();
        let (limited, unlimited) =
            (Claim { memory: Some(64 << 20), shares: 100 }, Claim { memory: None, shares: 300 });
        sum.add(limited);
        assert_eq!(sum.limits().memory, Some((64 << 20) + OWN + EACH));
        sum.add(unlimited);
        assert_eq!((sum.limits().memory, sum.limits().cpu.shares), (None, 400));
        sum.subtract(unlimited);
        sum.subtract(limited);
        assert_eq!((sum.containers(), sum.limits().cpu.shares), (0, 2));
    }
}
