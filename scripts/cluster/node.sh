#!/bin/bash
# node.sh FOLDER CGROUP CNI_BIN: process 1 of the node. Makes the namespaces look like a machine, starts every component,
# marks FOLDER/ready when pods can be made, and then only buries orphans. Started by cluster.sh.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
. "$(dirname "$0")/../lib/private.sh"
folder=$1 cgroup=$2 cni=$3
address=10.99.0.2

private_paths() {
  hide_shared_paths "$folder"
  mkdir /run/cluster /run/cni /run/netns
  mount --bind "$folder" /run/cluster
  mount --bind "$cni" /run/cni
  mount --make-rshared /
}

# kernel_setting PATH VALUE: programs of this node read VALUE; the machine keeps its own.
kernel_setting() {
  local copy=/run/cluster/settings/${1//\//.}
  echo "$2" >"$copy"
  mount --bind "$copy" "/proc/sys/$1"
}

# kubelet refuses a node whose kernel would overcommit or survive a panic in another way than it wants.
kernel_settings() {
  mkdir -p /run/cluster/settings
  kernel_setting vm/overcommit_memory 1
  kernel_setting kernel/panic 10
  kernel_setting kernel/panic_on_oops 1
}

# The node's address sits on an empty bridge, which every kernel can make.
network() {
  hostname node
  ip link set lo up
  ip link add node0 type bridge
  ip address add "$address/24" dev node0
  ip link set node0 up
  ip route add default via 10.99.0.1 dev node0
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

# The cgroup that holds every pod, in all hierarchies.
cgroups() {
  local hierarchy controller file
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/$cgroup"
    for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
      echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control &&
        echo "+$controller" >"/sys/fs/cgroup/$cgroup/cgroup.subtree_control" || say "pods go without the controller $controller"
    done
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    [ "$hierarchy" = /sys/fs/cgroup/unified/ ] || mkdir -p "$hierarchy$cgroup"
  done
  for file in cpuset.cpus cpuset.mems; do
    cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$cgroup/$file"
  done
}

# component PROGRAM ARGUMENT...: in the background, with its log in FOLDER/log, and again whenever it ends.
component() {
  while :; do
    "$@" || say "$1 has ended: $?"
    sleep 0.5
  done >>"/run/cluster/log/$1.log" 2>&1 &
  say "started $1"
}

storage() {
  component containerd --config etc/containerd.toml
  component etcd --data-dir etcd --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
}

control_plane() {
  local client
  component kube-apiserver --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --advertise-address="$address" \
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

node() {
  ctr --namespace k8s.io images import --local pause.tar
  component kubelet --config=etc/kubelet.yaml --kubeconfig=kubeconfig/kubelet --cgroup-root="/$cgroup" \
    --hostname-override=node --node-ip="$address" --v=2
  await 120 kubectl wait --for=condition=Ready --timeout=1s node/node || die "kubelet did not become ready"
  # Services: nothing but rules of the kernel.
  component kube-proxy --kubeconfig=kubeconfig/proxy --proxy-mode=nftables --hostname-override=node --cluster-cidr=10.88.0.0/22 \
    --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0 --metrics-bind-address=127.0.0.1:10249
  await 60 kubectl get serviceaccount default || die "no service account was made"
  say "the node is ready"
}

private_paths
cd /run/cluster
kernel_settings
network
cgroups
storage
control_plane
names
node
touch ready
# bash buries what it inherits while it waits.
while :; do wait -n || sleep 1; done
