#!/bin/bash
# In the machine: native containers, whose cgroups their OCI runtime makes and the shim reads, named as both of a kubelet's drivers
# name them: `slice:prefix:name` for systemd's, a path for cgroupfs'. Needs SHIM_DIR, CONTAINERD_2_1.
set -uo pipefail
NAMESPACE=native
. "$(dirname "$0")/containerd.sh"

# begin ID CGROUP ARGUMENT...: a native container with limits.
begin() {
  local id=$1 cgroup=$2
  shift 2
  ctr run --detach --runtime io.containerd.run.v2 --cgroup "$cgroup" --memory-limit $((64 << 20)) --cpu-quota 25050 \
    --cpu-period 50000 --log-uri "file:///tmp/$id.log" localhost/busybox:1 "$id" /bin/busybox "$@"
}

# figure ID NAME: one of its metrics.
figure() { ctr task metrics "$1" | awk -v name="$2" '$1 == name { print $2 }'; }
above() { [ "$(figure "$1" "$2")" -gt "$3" ]; }

# lives ID FOLDER CGROUP: a container's life as its cgroup, at FOLDER, and containerd see it.
lives() {
  local id=$1 folder=$2 cgroup=$3
  check "$id: a native container starts" begin "$id" "$cgroup" sh -c 'while :; do :; done'
  check "$id: its process is in its cgroup" contains "$(paste -s -d ' ' "$folder/cgroup.procs")" "$(pid_of "$id")"
  check "$id: it has the limits of the spec" same "$(cat "$folder/memory.max") $(cat "$folder/cpu.max")" "$((64 << 20)) 25050 50000"
  check "$id: its CPU time is counted" await above "$id" cpu.usage_usec 1000
  check "$id: its memory is counted" above "$id" memory.usage 0
  check "$id: its limit is told" same "$(figure "$id" memory.usage_limit)" $((64 << 20))
  check "$id: a process is executed in it" same "$(ctr task exec --exec-id e1 "$id" /bin/busybox id -u)" 0
  check "$id: it stands still when it is paused" eval 'ctr task pause "$id" && await grep -q "frozen 1" "$folder/cgroup.events"'
  check "$id: and goes on" eval 'ctr task resume "$id" && await grep -q "frozen 0" "$folder/cgroup.events"'
  check "$id: its end takes the cgroup away, also while it is paused" eval 'ctr task pause "$id" && end "$id" && await test ! -e "$folder"'
  check "$id-oom: another starts" begin "$id-oom" "$cgroup" sh -c 'busybox sleep 2; exec busybox tail -c 1000000000 /dev/zero'
  check "$id-oom: the kernel ends it for want of memory" await is_stopped "$id-oom"
  check "$id-oom: as 137" contains "$(ctr task delete "$id-oom" 2>&1)" "exit code 137"
  ctr container delete "$id-oom"
  check "$id-oom: and its cgroup goes too" await test ! -e "$folder"
}

sed -i '1i native = "allow"' /etc/run-wasm/config.toml
begin_containerd
lives systemd "$SLICE/cri-n1.scope" pods-pod1.slice:cri:n1
check "no scope is left" no_scope n1
lives cgroupfs /sys/fs/cgroup/kubepods/pod1/n1 /kubepods/pod1/n1
check "no unit stays as failed" await none_has_failed
end_containerd
