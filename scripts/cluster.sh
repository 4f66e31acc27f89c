#!/bin/bash
# cluster.sh COMMAND: a Kubernetes cluster of one node or two in namespaces of its own, with our shim as handler `run` beside runc.
#   up                 start it and wait until pods can be made
#   import TAR...      images for its pods
#   kubectl ARG...     kubectl, as its admin
#   exec COMMAND...    any command on the (first) node
#   exec-worker COMMAND...     the same on the second one
#   status             what runs
#   restart PROGRAM [SIGNAL]   end a program of the node (kubelet, containerd, ...), by TERM; it comes back by itself
#   reboot             end all that runs, and start the node again with the same disks
#   down               end it; nothing stays behind
# Environment:
#   CLUSTER_NODES  how many nodes `up` makes: 1, or 2, of which the second is `worker` (default: 1)
#   CLUSTER_DIR   its state, logs and keys (default: run-wasm-cluster in the temporary folder)
#   SHIM_DIR      the folder of containerd-shim-run-v2 (default: where the tests' build leaves it)
#   CLUSTER_RUNTIMES   a file of runtimes more, as containerd's configuration has them; their shims are in SHIM_DIR, too
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for part in common debian go rust prerequisites containerd kubernetes coredns private native-image; do . "$here/lib/$part.sh"; done

folder=${CLUSTER_DIR:-${TMPDIR:-/tmp}/run-wasm-cluster}
shim=${SHIM_DIR:-$BUILT}
cgroup=$(cgroup_of "$folder")
path=$shim:$KUBERNETES_BIN:$COREDNS_BIN:$CONTAINERD_2_1:$ETCD_BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

up() {
  outside_shared_paths "$folder" "$shim" "$CACHE" "$ROOT"
  [ -z "$(init)" ] || die "the cluster in $folder is up already: \`cluster.sh down\` ends it"
  ensure_run_tools
  ensure_containerd
  ensure_cluster_parts
  ensure_kubernetes
  ensure_coredns
  timed "cluster up" start
  inside kubectl apply -f "$ROOT/runtimeclass.yaml"
}

start() {
  clean
  mkdir -p "$folder/log"
  cp -r "$here/cluster/etc" "$folder/"
  [ -z "${CLUSTER_RUNTIMES:-}" ] || cat "$CLUSTER_RUNTIMES" >>"$folder/etc/containerd.toml"
  "$here/cluster/keys.sh" "$folder"
  gcc -static -Os -o "$folder/pause" "$here/cluster/pause.c"
  native_image localhost/pause:1 "$folder/pause" "$folder/pause.tar"
  [ "${CLUSTER_NODES:-1}" = 1 ] || second
  boot
}

# second: what the second node finds on its disk.
second() {
  local worker=$folder/worker
  mkdir -p "$worker"/{log,pki,kubeconfig}
  cp -r "$folder"/{etc,pause.tar} "$worker/"
  sed -i 's|10\.88\.0\.0/22|10.88.4.0/22|' "$worker/etc/cni/10-bridge.conflist"
  cp "$folder/pki/ca.crt" "$worker/pki/"
  cp "$folder/pki/kubelet-of-worker.crt" "$worker/pki/kubelet.crt"
  cp "$folder/pki/kubelet-of-worker.key" "$worker/pki/kubelet.key"
  cp "$folder/kubeconfig/kubelet-of-worker" "$worker/kubeconfig/kubelet"
  cp "$folder/kubeconfig/proxy" "$worker/kubeconfig/"
}

# boot: the node's process 1, which starts the rest.
boot() {
  local unshare
  PATH=$path KUBECONFIG=/run/cluster/kubeconfig/admin setsid unshare --mount --pid --net --uts --ipc --fork --kill-child --mount-proc --propagation slave \
    "$here/cluster/node.sh" "$folder" "$cgroup" "$CNI_BIN" >>"$folder/log/node.log" 2>&1 </dev/null &
  unshare=$!
  echo $unshare >"$folder/pid"
  until [ -e "$folder/ready" ]; do
    kill -0 $unshare 2>/dev/null || { tail -n 5 "$folder"/log/*.log >&2; die "the node did not come up: its logs are in $folder/log"; }
    sleep 0.1
  done
}

# init: the node's process 1, or nothing when the cluster is down.
init() {
  local unshare
  unshare=$(cat "$folder/pid" 2>/dev/null) || return 0
  grep -qzxF "$folder" "/proc/$unshare/cmdline" 2>/dev/null || return 0
  pgrep --parent "$unshare" || true
}

# inside COMMAND...: on the node.
inside() {
  local init
  init=$(init)
  [ -n "$init" ] || die "no cluster is up in $folder: \`cluster.sh up\` starts one"
  PATH=$path KUBECONFIG=/run/cluster/kubeconfig/admin CONTAINERD_NAMESPACE=k8s.io \
    nsenter --target "$init" --mount --pid --net --uts --ipc -- "$@"
}

# on_worker COMMAND...: on the second node.
on_worker() {
  [ -d "$folder/worker" ] || die "the cluster in $folder has one node: CLUSTER_NODES=2 makes \`cluster.sh up\` start two"
  inside nsenter --target "$(cat "$folder/worker.pid")" --mount --pid --net --uts --ipc -- "$@"
}

import() {
  local tar
  for tar in "$@"; do
    inside ctr images import --local "$(realpath "$tar")"
    [ ! -d "$folder/worker" ] || on_worker ctr images import --local "$(realpath "$tar")"
  done
}

# restart PROGRAM [SIGNAL]: node.sh starts again what has ended.
restart() {
  local pid
  # Those of the second node are seen here, too, but have mounts of their own; and what a program has just forked has its name.
  pid=$(inside pgrep --oldest --ns 1 --nslist mnt --exact "$1") || die "the node runs no $1: \`cluster.sh exec ps -e\` shows what it runs"
  inside kill -s "${2:-TERM}" "$pid"
}

# The kernel ends everything in the node's pid namespace with its process 1.
power_off() {
  local unshare init
  init=$(init)
  [ -n "$init" ] || return 0
  unshare=$(cat "$folder/pid")
  kill -KILL "$init"
  tail --sleep-interval=0.1 --pid="$unshare" -f /dev/null
  remove_cgroup "$cgroup"
}

reboot() {
  [ -n "$(init)" ] || die "no cluster is up in $folder: \`cluster.sh up\` starts one"
  power_off
  rm "$folder/ready"
  timed "reboot" boot
}

down() {
  power_off
  clean
}

clean() {
  remove_cgroup "$cgroup"
  rm -rf "$folder"
}

case ${1:-} in
up | down | reboot) "$1" ;;
restart) restart "${@:2}" ;;
import) import "${@:2}" ;;
kubectl) inside kubectl "${@:2}" ;;
exec) inside "${@:2}" ;;
exec-worker) on_worker "${@:2}" ;;
status) inside kubectl get nodes,pods --all-namespaces -o wide ;;
*) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;;
esac
