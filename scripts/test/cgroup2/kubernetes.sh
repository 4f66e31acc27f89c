#!/bin/bash
# In the machine: pods of both modes under a kubelet whose cgroup driver is systemd's, as on most nodes: what they print, their limits,
# their end for want of memory, their figures. The control plane is the least that a kubelet needs: pods name their node, so there
# is no scheduler, and nobody has to be told of their end. Needs SHIM_DIR, CONTAINERD_2_1.
set -uo pipefail
NAMESPACE=k8s.io
product=$(cd "$(dirname "$0")" && pwd)
. "$product/containerd.sh"
PATH=$product/node/bin:$PATH
export KUBECONFIG=/run/cluster/kubeconfig/admin
# Memory is there, processors are slow: garbage is collected late. Few calls of kubectl, because each takes seconds there.
export GOGC=300

# prepare: what a kubelet wants of a machine, and keys, configurations and plugins at the paths that these name.
prepare() {
  sysctl --quiet --write vm.overcommit_memory=1 kernel.panic=10 kernel.panic_on_oops=1 net.ipv4.ip_forward=1
  hostname node
  # debootstrap makes none, and containerd gives each pod a copy.
  echo "127.0.0.1 localhost node" >/etc/hosts
  ip address add 10.99.0.2/32 dev lo
  mkdir -p /srv/cluster/log /run/cluster /run/cni
  cp -r "$product"/node/cluster/. /srv/cluster/
  mount --bind /srv/cluster /run/cluster
  mount --bind "$product/node/cni" /run/cni
  cd /run/cluster || exit
  sed -i 's/^cgroupDriver: .*/cgroupDriver: systemd/' etc/kubelet.yaml
  # containerd tells the kubelet which driver that is.
  printf '%s\n' "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]" "SystemdCgroup = true" >>etc/containerd.toml
}

# component PROGRAM ARGUMENT...: in the background, with its log in log.
components=()
component() {
  "$@" >"log/$1.log" 2>&1 &
  components+=($!)
}

control_plane() {
  component etcd --data-dir etcd --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
  component kube-apiserver --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --advertise-address=10.99.0.2 \
    --authorization-mode=Node,RBAC --token-auth-file=pki/tokens.csv --client-ca-file=pki/ca.crt \
    --tls-cert-file=pki/apiserver.crt --tls-private-key-file=pki/apiserver.key \
    --kubelet-client-certificate=pki/apiserver-to-kubelet.crt --kubelet-client-key=pki/apiserver-to-kubelet.key \
    --kubelet-certificate-authority=pki/ca.crt --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=pki/accounts.pub \
    --service-account-signing-key-file=pki/accounts.key --service-cluster-ip-range=10.96.0.0/16 \
    --disable-admission-plugins=ServiceAccount --profiling=false
  await eval '(: </dev/tcp/127.0.0.1/6443)' && await kubectl get --raw /readyz
}

node() {
  component kubelet --config=etc/kubelet.yaml --kubeconfig=kubeconfig/kubelet --hostname-override=node --node-ip=10.99.0.2 --v=2
  await kubectl get node node -o name && kubectl wait --for=condition=Ready --timeout=300s node/node
}

# make FILE...: without a look at the API's schemas, which take the server a minute to put together.
make() { printf -- '--filename=%s\n' "$@" | xargs kubectl create --validate=ignore; }

# all_are PHASE POD...: all of them come to it.
all_are() { kubectl wait --for="jsonpath={.status.phase}=$1" --timeout=300s "${@:2}"; }

# ends: each container's pod, and how it has ended.
ends() { kubectl get pods -o 'jsonpath={range .items[*]}{.metadata.name}{" "}{.status.containerStatuses[0].state.terminated.reason}{" "}{.status.containerStatuses[0].state.terminated.exitCode}{"\n"}{end}'; }

# printed POD: what its container has written, without what the log adds to each line.
printed() { cut -d ' ' -f 4- /var/log/pods/default_"$1"_*/guest/0.log; }

# scope POD: the name of the unit that systemd has for its container.
scope() { echo "cri-containerd-$(kubectl get pod "$1" -o 'jsonpath={.status.containerStatuses[0].containerID}' | sed 's,.*//,,').scope"; }

# have_figures POD...: the kubelet's summary has CPU time and memory of their containers.
have_figures() {
  local summary pod
  summary=$(kubectl get --raw /api/v1/nodes/node/proxy/stats/summary | tr -d ' \n\t' | sed 's/{"podRef"/\n&/g')
  for pod in "$@"; do
    grep "^{\"podRef\":{\"name\":\"$pod\"" <<<"$summary" |
      grep -q '"containers":\[[^]]*"usageCoreNanoSeconds":[1-9][^]]*"workingSetBytes":[1-9]' || return
  done
}

prepare
check "containerd with CRI starts" begin_containerd etc/containerd.toml
check "a control plane starts" control_plane
check "the node is ready" node
check "pods of both modes are made" make "$product/node/runtimeclass.yaml" "$product/pods.yaml"

check "pods succeed in both modes" all_are Succeeded pod/hello pod/hello-shared
check "the log of the one in normal mode is what it printed" same "$(printed hello)" "hello from run-wasm"
check "so is that of the one in shared mode" same "$(printed hello-shared)" "hello from run-wasm"
check "guests beyond their limit end in both modes" all_are Failed pod/hog pod/hog-shared
ends=$(ends)
check "the one in normal mode as OOMKilled" contains "$ends" "hog OOMKilled 137"
check "and so the one in shared mode" contains "$ends" "hog-shared OOMKilled 137"

check "pods with limits run in both modes" all_are Running pod/living pod/living-shared
unit=$(scope living)
group=/sys/fs/cgroup$(systemctl show --property ControlGroup --value "$unit")
check "systemd knows the container in normal mode as an active scope" same "$(systemctl show --property ActiveState --value "$unit")" active
check "which lies in the pod's slice, below the kubelet's" contains "$group" /kubepods.slice/kubepods-pod
check "it has the limits of the pod's spec" same "$(cat "$group/memory.max") $(cat "$group/cpu.max")" "$((64 << 20)) 50000 100000"
check "the host of its guest is in it" grep -q . "$group/cgroup.procs"
check "the kubelet's summary has figures of both" await have_figures living living-shared
check "the pods can be deleted" kubectl delete pods --all --grace-period=1 --timeout=300s
check "and their scopes go" await eval '[ -z "$(find /sys/fs/cgroup/kubepods.slice -name "cri-containerd-*")" ]'
check "no unit stays as failed" await none_has_failed

# The API server waits for etcd, which ends beside it. Nothing of either is wanted any more.
kill -KILL "${components[@]}"
wait "${components[@]}"
[ "${checks_failed:-1}" = 0 ] || { systemctl list-units --failed; tail -n 15 log/*.log; }
end_containerd
