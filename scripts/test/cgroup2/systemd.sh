#!/bin/bash
# In the machine: containers whose cgroup is named as the systemd driver of a kubelet names it, `slice:prefix:name`.
# Needs SHIM_DIR, CONTAINERD_2_1.
set -uo pipefail
NAMESPACE=systemd
. "$(dirname "$0")/containerd.sh"

# begin ID ARGUMENT...: a container that sleeps, with limits.
begin() {
  local id=$1
  ctr run --detach --runtime io.containerd.run.v2 --cgroup "pods-pod1.slice:cri:$id" --memory-limit $((128 << 20)) \
    --cpu-quota 25050 --cpu-period 50000 --cpu-shares 512 --cpuset-cpus 1 --cpuset-mems 0 \
    --log-uri "file:///tmp/$id.log" localhost/sleep:1 "$id" /sleep.wasm 3600
}

# hello ID: what a container prints that ends at once.
hello() { ctr run --rm --runtime io.containerd.run.v2 --cgroup "pods-pod1.slice:cri:$1" localhost/hello:1 "$1"; }

# file ID NAME: a file of a container's cgroup, as one line.
file() { paste -s -d ' ' "$SLICE/cri-$1.scope/$2"; }
limits() { echo "$(file "$1" memory.max), $(file "$1" cpu.max), $(file "$1" cpu.weight), $(file "$1" pids.max), $(file "$1" cpuset.cpus)"; }
wanted="$((128 << 20)), 25050 50000, 20, max, 1"

# rearrange: what a node's systemd does at any time to a slice with containers: another unit comes and goes in it, its own
# properties change, all unit files are read anew.
rearrange() {
  systemctl daemon-reload &&
    systemd-run --quiet --scope --slice pods-pod1.slice --property CPUWeight=50 true &&
    systemctl set-property --runtime pods-pod1.slice CPUWeight=200 MemoryMax=1G &&
    systemctl daemon-reload
}

begin_containerd

check "a container with a systemd path starts" begin c1
check "systemd knows it as an active scope" same "$(property c1 ActiveState)" active
check "the scope is in its slice" same "$(property c1 ControlGroup)" "/pods.slice/pods-pod1.slice/cri-c1.scope"
check "the scope is delegated" same "$(property c1 Delegate)" yes
check "its host is in it, alone" same "$(file c1 cgroup.procs)" "$(pid_of c1)"
check "it has the limits of the spec, to the microsecond" same "$(limits c1)" "$wanted"
check "systemd rearranges the slice" rearrange
check "the limits are still there" same "$(limits c1 | sed 's/25050/25500/')" "${wanted/25050/25500}"
check "it still runs there" same "$(file c1 cgroup.procs)" "$(pid_of c1)"
check "its end takes the scope away" eval 'end c1; await no_scope c1'
check "the id is free again, and again" same "$(for _ in 1 2 3; do hello c1; done 2>&1 | paste -s -d ,)" \
  "hello from run-wasm,hello from run-wasm,hello from run-wasm"

check "another starts" begin c2
echo 1M >"$SLICE/cri-c2.scope/memory.max"
check "it is ended when the kernel kills for want of memory" await is_stopped c2
check "as 137" contains "$(ctr task delete c2 2>&1)" "exit code 137"
ctr container delete c2
check "and its scope goes too" await no_scope c2

check "a third starts" begin c3
kill -9 "$(sed 's/.*"shim_pid":\([0-9]*\).*/\1/' /run/run-wasm/tasks/*/c3.json)"
check "it ends with its shim, and its scope goes" await no_scope c3
check "no unit stays as failed" await none_has_failed
none_is_left() { [ -z "$(find "$SLICE" -name '*.scope' 2>/dev/null)" ]; }
check "no scope is left" await none_is_left

end_containerd
