#!/bin/bash
# cgroup2.sh FOLDER: runs test programs in a machine with cgroup v2 and systemd. FOLDER has those that cargo built, under
# their names: `cgroup2` and `containerd`. Needs the build, the guests, ensure_machine, ensure_containerd, ensure_cluster_parts and
# ensure_kubernetes.
set -euo pipefail
scripts=$(cd "$(dirname "$0")/.." && pwd)
for part in common debian containerd kubernetes machine native-image wasm-image; do . "$scripts/lib/$part.sh"; done

# It takes five minutes on two processors of its own, and may take several times that where others use them.
seconds=2400

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# product FOLDER: everything that the machine's second disk brings.
product() {
  local folder=$1 name
  mkdir -p "$folder"/{bin,containerd,guests,images}
  cp -r "$scripts/test/cgroup2/." "$scripts/lib/checks.sh" "$folder/"
  cp -rL "$tests" "$folder/tests"
  for name in containerd-shim-run-v2 run-wasm-node; do strip -o "$folder/bin/$name" "$BUILT/$name"; done
  cp "$CONTAINERD_2_1"/{containerd,ctr} "$folder/containerd/"
  # The interpreters in Wasm take minutes to compile there.
  find "$ROOT/target/guests" -name '*.wasm' -size -1024k -exec cp -t "$folder/guests" {} +
  for name in hello sleep memory-hog; do wasm_image "localhost/$name:1" "$ROOT/target/guests/$name.wasm" "$folder/images/$name.tar" >/dev/null; done
  native_image localhost/busybox:1 "$BUSYBOX" "$folder/images/busybox.tar"
  node "$folder/node"
}

# node FOLDER: a control plane, a kubelet, and what they read.
node() {
  local folder=$1
  mkdir -p "$folder"/{bin,cluster,cni}
  cp -P "$KUBERNETES_BIN"/* "$ETCD_BIN/etcd" "$folder/bin/"
  cp "$CNI_BIN"/{bridge,host-local,loopback,portmap} "$folder/cni/"
  cp -r "$scripts/cluster/etc" "$folder/cluster/"
  "$scripts/cluster/keys.sh" "$folder/cluster"
  cp "$ROOT/runtimeclass.yaml" "$folder/"
  gcc -static -Os -o "$work/pause" "$scripts/cluster/pause.c"
  native_image localhost/pause:1 "$work/pause" "$folder/../images/pause.tar"
}

tests=$1
product "$work/product"
pack_disk "$work/product" "$work/disk.ext4" 8
say "boot a machine with cgroup v2"
status=0
boot_machine "$work/disk.ext4" "$work/console" "$work/output" "$seconds" || status=$?
tr -d '\r' <"$work/output"
if ! grep -q '^the run ended with ' "$work/output"; then
  echo "the machine did not come to the end of its tests in $seconds s; its console ended with:"
  tail -n 40 "$work/console"
fi
exit "$status"
