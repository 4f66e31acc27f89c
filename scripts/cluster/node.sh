#!/bin/bash
# node.sh FOLDER CGROUP CNI_BIN: process 1 of the first node. Makes the namespaces look like a machine, starts every component,
# and the second node if FOLDER/worker is there; marks FOLDER/ready when pods can be made, and then only buries orphans.
# Started by cluster.sh.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
. "$(dirname "$0")/../lib/private.sh"
. "$(dirname "$0")/machine.sh"
folder=$1 cgroup=$2 cni=$3
here=$(cd "$(dirname "$0")" && pwd)

storage() {
  component containerd --config etc/containerd.toml
  component etcd --data-dir etcd --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
}

control_plane() {
  local client
  component kube-apiserver --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --advertise-address="$FIRST_ADDRESS" \
    --authorization-mode=Node,RBAC --token-auth-file=pki/tokens.csv --client-ca-file=pki/ca.crt \
    --tls-cert-file=pki/apiserver.crt --tls-private-key-file=pki/apiserver.key \
    --kubelet-client-certificate=pki/apiserver-to-kubelet.crt --kubelet-client-key=pki/apiserver-to-kubelet.key \
    --kubelet-certificate-authority=pki/ca.crt --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=pki/accounts.pub \
    --service-account-signing-key-file=pki/accounts.key --service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true --profiling=false
  await 120 kubectl get --raw /readyz || die "kube-apiserver did not become ready"
  say "kube-apiserver is ready"
  for client in kube-controller-manager kube-scheduler; do
    local account=kubeconfig/${client#kube-}
    local options=(--kubeconfig="$account" --authentication-kubeconfig="$account" --authorization-kubeconfig="$account"
      --leader-elect=false --bind-address=127.0.0.1)
    [ $client = kube-scheduler ] || options+=(--use-service-account-credentials=true --service-account-private-key-file=pki/accounts.key
      --root-ca-file=pki/ca.crt --flex-volume-plugin-dir=/var/lib/kubelet/volume-plugins)
    component $client "${options[@]}"
  done
}

# Where a cluster has its name server as a Deployment, this one has a program.
names() {
  await 60 kubectl apply -f etc/dns.yaml || die "the name server's rights were not made"
  component coredns -conf etc/Corefile
}

# The second node, on the first one's bridge. It has all of its namespaces within the first one's, and ends with them.
worker() {
  local unshare init
  rm -f worker/ready
  KUBECONFIG=/run/cluster/kubeconfig/kubelet unshare --mount --pid --net --uts --ipc --fork --mount-proc \
    "$here/worker.sh" "$folder/worker" "$cgroup/worker" "$cni" >>log/worker.log 2>&1 &
  unshare=$!
  await 10 pgrep --parent $unshare || die "the second node did not start"
  init=$(pgrep --parent $unshare)
  echo "$init" >worker.pid
  ip link add worker0 type veth peer name eth0 netns "$init"
  ip link set worker0 master node0 up
  ip route add "$WORKER_PODS" via "$WORKER_ADDRESS"
}

private_paths "$folder" "$cni"
cd /run/cluster
kernel_settings
# The node's address sits on an empty bridge, which every kernel can make.
ip link add node0 type bridge
network node node0 "$FIRST_ADDRESS"
cgroups "$cgroup"
storage
control_plane
names
[ ! -d worker ] || worker
node node "$FIRST_ADDRESS" "$cgroup"
await 60 kubectl get serviceaccount default || die "no service account was made"
[ ! -d worker ] || await 60 test -e worker/ready || die "the second node did not come up"
say "all nodes are ready"
touch ready
# bash buries what it inherits while it waits.
while :; do wait -n || sleep 1; done
