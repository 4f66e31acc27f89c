# shellcheck shell=bash
# What makes a set of namespaces look like a machine, and what every node of the cluster runs. Needs lib/common.sh and
# lib/private.sh.

FIRST_ADDRESS=10.99.0.2
FIRST_PODS=10.88.0.0/22
WORKER_ADDRESS=10.99.0.3
WORKER_PODS=10.88.4.0/22
ALL_PODS=10.88.0.0/21

# private_paths FOLDER CNI_BIN: the node's state at /run/cluster, and CNI's plugins at /run/cni.
private_paths() {
  hide_shared_paths "$1"
  mkdir /run/cluster /run/cni /run/netns
  mount --bind "$1" /run/cluster
  mount --bind "$2" /run/cni
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

# network NAME DEVICE ADDRESS: the node's name, and its address at a device.
network() {
  hostname "$1"
  ip link set lo up
  ip address add "$3/24" dev "$2"
  ip link set "$2" up
  ip route add default via 10.99.0.1 dev "$2"
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

# cgroups NAME: the cgroup that holds every pod, in all hierarchies.
cgroups() {
  local cgroup=$1 hierarchy controller file
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

# node NAME ADDRESS CGROUP: kubelet and kube-proxy; returns when pods can be made there.
node() {
  await 60 ctr --namespace k8s.io images import --local pause.tar || die "containerd did not become ready"
  component kubelet --config=etc/kubelet.yaml --kubeconfig=kubeconfig/kubelet --cgroup-root="/$3" \
    --hostname-override="$1" --node-ip="$2" --v=2
  await 120 kubectl wait --for=condition=Ready --timeout=1s "node/$1" || die "kubelet did not become ready"
  # Services: nothing but rules of the kernel.
  component kube-proxy --kubeconfig=kubeconfig/proxy --proxy-mode=nftables --hostname-override="$1" --cluster-cidr="$ALL_PODS" \
    --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0 --metrics-bind-address=127.0.0.1:10249
}
