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
kubectl() { timeout 300 kubectl "$@"; }

# prepare: what a kubelet wants of a machine, and keys, configurations and plugins at the paths that these name.
prepare() {
  sysctl --quiet --write vm.overcommit_memory=1 kernel.panic=10 kernel.panic_on_oops=1 net.ipv4.ip_forward=1
  hostname node
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
  await kubectl get --raw /readyz
}

node() {
  component kubelet --config=etc/kubelet.yaml --kubeconfig=kubeconfig/kubelet --hostname-override=node --node-ip=10.99.0.2 --v=2
  await kubectl wait --for=condition=Ready --timeout=5s node/node
}

# field POD PATH: a field of the pod, by JSONPath.
field() { kubectl get pod "$1" -o "jsonpath={$2}"; }
# comes POD PATH VALUE: within minutes.
comes() { kubectl wait --for="jsonpath={$2}=$3" --timeout=240s "pod/$1" >/dev/null || { kubectl describe pod "$1"; false; }; }
end_of() { field "$1" '.status.containerStatuses[0].state.terminated.reason}{" "}{.status.containerStatuses[0].state.terminated.exitCode'; }

# scope POD: the name of the unit that systemd has for its container.
scope() { echo "cri-containerd-$(field "$1" '.status.containerStatuses[0].containerID' | sed 's,.*//,,').scope"; }

# has_figures POD: the kubelet's summary has CPU time and memory of its container.
has_figures() {
  kubectl get --raw /api/v1/nodes/node/proxy/stats/summary | tr -d ' \n\t' | sed 's/{"podRef"/\n&/g' | grep "^{\"podRef\":{\"name\":\"$1\"" |
    grep -q '"containers":\[[^]]*"usageCoreNanoSeconds":[1-9][^]]*"workingSetBytes":[1-9]'
}

prepare
check "containerd with CRI starts" begin_containerd etc/containerd.toml
check "a control plane starts" control_plane
check "the node is ready" node
check "pods of both modes are made" kubectl apply -f "$product/node/runtimeclass.yaml" -f "$product/pods.yaml"

check "a pod in normal mode succeeds" comes hello .status.phase Succeeded
check "its log is what the guest printed" same "$(kubectl logs hello)" "hello from run-wasm"
check "a pod in shared mode succeeds" comes hello-shared .status.phase Succeeded
check "its log is what the guest printed" same "$(kubectl logs hello-shared)" "hello from run-wasm"
check "a guest beyond its limit ends in normal mode" comes hog .status.phase Failed
check "as OOMKilled" same "$(end_of hog)" "OOMKilled 137"
check "a guest beyond its limit ends in shared mode" comes hog-shared .status.phase Failed
check "as OOMKilled" same "$(end_of hog-shared)" "OOMKilled 137"

check "a pod with limits runs" comes living .status.phase Running
unit=$(scope living)
group=/sys/fs/cgroup$(systemctl show --property ControlGroup --value "$unit")
check "systemd knows its container as an active scope" same "$(systemctl show --property ActiveState --value "$unit")" active
check "which lies in the pod's slice, below the kubelet's" contains "$group" /kubepods.slice/kubepods-pod
check "it has the limits of the pod's spec" same "$(cat "$group/memory.max") $(cat "$group/cpu.max")" "$((64 << 20)) 50000 100000"
check "a host of the guest is in it" test -s "$group/cgroup.procs"
check "the kubelet's summary has figures of it" await has_figures living
check "a pod with limits runs in shared mode" comes living-shared .status.phase Running
check "the kubelet's summary has figures of it" await has_figures living-shared
check "the pods can be deleted" kubectl delete pods --all --grace-period=1 --timeout=240s
check "and their scopes go" await eval '[ -z "$(find /sys/fs/cgroup/kubepods.slice -name "cri-containerd-*")" ]'
check "no unit has failed" same "$(systemctl list-units --failed --plain --no-legend 'cri-*')" ""

kill "${components[@]}"
wait "${components[@]}"
[ "${checks_failed:-1}" = 0 ] || tail -n 15 log/*.log
end_containerd
