# Two releases of containerd, and what a cluster needs beside them, out of Debian's suites. Needs lib/common.sh and
# lib/debian.sh.

CONTAINERD_1_7=$CACHE/containerd-1.7/usr/bin
CONTAINERD_2_1=$CACHE/containerd-2.1/usr/bin
CNI_BIN=$CACHE/cni/usr/lib/cni
REGISTRY_BIN=$CACHE/registry/usr/bin
ETCD_BIN=$CACHE/etcd/usr/bin
BUSYBOX_BIN=$CACHE/busybox/bin
BUSYBOX=$BUSYBOX_BIN/busybox

# ensure_containerd: containerd 1.7 and 2.1 (or what their suites carry by now: the versions are said).
ensure_containerd() {
  cached containerd-1.7 unpack_from_debian trixie containerd
  cached containerd-2.1 unpack_from_debian forky containerd
  say "$(cat "$CACHE"/containerd-{1.7,2.1}/versions | paste -s -d ,)"
}

# ensure_pod_network: the CNI plugins.
ensure_pod_network() { cached cni unpack_from_debian forky containernetworking-plugins; }

# ensure_registry: one to push images to.
ensure_registry() { cached registry unpack_from_debian bookworm docker-registry; }

# ensure_busybox: a static busybox for native containers.
ensure_busybox() { cached busybox unpack_from_debian bookworm busybox-static; }

# ensure_cluster_parts: the CNI plugins, etcd, and a static busybox for native pods.
ensure_cluster_parts() {
  ensure_pod_network
  cached etcd unpack_from_debian forky etcd-server
  ensure_busybox
}
