# Two releases of containerd, and what a cluster needs beside them, out of Debian's suites; the newest containerd, built from
# its Go module. Needs lib/common.sh, lib/debian.sh and lib/go.sh.

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

CONTAINERD_SOURCE=$ROOT/scripts/containerd
CONTAINERD_NEWEST_VERSION=$(awk '$2 == "github.com/containerd/containerd/v2" || $1 == "github.com/containerd/containerd/v2" { print $NF; exit }' "$CONTAINERD_SOURCE/go.mod")
# The hash stands for what the build depends on beside the version.
CONTAINERD_NEWEST=$CACHE/containerd-$CONTAINERD_NEWEST_VERSION-$(cat "$CONTAINERD_SOURCE"/{go.mod,go.sum} | sha256sum | cut -c 1-8)

# ensure_newest_containerd: for the sandbox service. The first time takes some minutes of one processor.
ensure_newest_containerd() { built_by_go "$CONTAINERD_NEWEST" build_containerd; }

# build_containerd FOLDER: on one processor and with low priority, because it runs beside other work.
build_containerd() {
  local module=github.com/containerd/containerd/v2
  (cd "$CONTAINERD_SOURCE" && GOMAXPROCS=1 CGO_ENABLED=0 nice "$GO" build -p 1 -trimpath -buildvcs=false -tags no_btrfs,no_devmapper,no_zfs \
    -ldflags "-s -w -X $module/version.Version=${CONTAINERD_NEWEST_VERSION#v}" -o "$1/" "$module/cmd/containerd" "$module/cmd/ctr")
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
