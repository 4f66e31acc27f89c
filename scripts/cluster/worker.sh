#!/bin/bash
# worker.sh FOLDER CGROUP CNI_BIN: process 1 of the second node, which runs pods and nothing else. Started by node.sh in namespaces
# of its own within those of the first, which gives it the device eth0.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
. "$(dirname "$0")/../lib/private.sh"
. "$(dirname "$0")/machine.sh"
folder=$1 cgroup=$2 cni=$3

private_paths "$folder" "$cni"
cd /run/cluster
kernel_settings
await 60 ip link show eth0 || die "the first node gave no device"
network worker eth0 "$WORKER_ADDRESS"
ip route add "$FIRST_PODS" via "$FIRST_ADDRESS"
cgroups "$cgroup"
component containerd --config etc/containerd.toml
node worker "$WORKER_ADDRESS" "$cgroup"
touch ready
# bash buries what it inherits while it waits.
while :; do wait -n || sleep 1; done
