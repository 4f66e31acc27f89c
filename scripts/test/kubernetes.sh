#!/bin/bash
# kubernetes.sh: Wasm pods, a native one and a mixed one under a real kubelet, from RuntimeClass to exit code. Needs the build and the
# guests; brings up a cluster of its own and leaves nothing.
set -euo pipefail
scripts=$(cd "$(dirname "$0")/.." && pwd)
for part in common debian containerd private native-image wasm-image checks; do . "$scripts/lib/$part.sh"; done

work=$(mktemp -d)
export CLUSTER_DIR=$work/cluster
trap '"$scripts/cluster.sh" down; rm -rf "$work"' EXIT
kubectl() { "$scripts/cluster.sh" kubectl "$@"; }

# field POD PATH: a field of the pod, by JSONPath.
field() { kubectl get pod "$1" -o "jsonpath={$2}"; }
terminated() { field "$1" ".status.containerStatuses[0].state.terminated.$2"; }
phase_is() { [ "$(field "$1" .status.phase)" = "$2" ]; }

# ends POD PHASE: within half a minute; shows why not.
ends() {
  await 30 phase_is "$1" "$2" || { kubectl describe pod "$1"; false; }
}

images() {
  local guest
  for guest in hello exit trap files sleep serve; do wasm_image "localhost/$guest:1" "$ROOT/target/guests/$guest.wasm" "$work/$guest.tar"; done
  native_image localhost/busybox:1 "$BUSYBOX" "$work/busybox.tar"
  "$scripts/cluster.sh" import "$work"/*.tar
}

# traces: what a cluster that has gone must not leave on the machine.
traces() {
  pgrep --full --list-full "$CLUSTER_DIR" || true
  grep -F "$CLUSTER_DIR" /proc/self/mounts || true
  find /sys/fs/cgroup -maxdepth 2 -type d -name "$(cgroup_of "$CLUSTER_DIR")" 2>/dev/null || true
  ls -d "$CLUSTER_DIR" 2>/dev/null || true
}

# ended POD CONTAINER JSONPATH: a field of the end of a container, whichever kind it is.
ended() {
  local list
  for list in containerStatuses ephemeralContainerStatuses; do
    kubectl get pod "$1" -o "jsonpath={.status.${list}[?(@.name=='$2')].state.terminated.$3}"
  done
}
has_ended() { [ -n "$(ended "$1" "$2" exitCode)" ]; }
runs() { [ -n "$(kubectl get pod "$1" -o "jsonpath={.status.containerStatuses[?(@.name=='$2')].state.running.startedAt}")" ]; }

# debugged CONTAINER: what a debugger beside a container of the mixed pod says of the processes that it sees, or why it was not made.
debugged() {
  kubectl debug mixed --quiet --image localhost/busybox:1 --image-pull-policy Never --container "debug-$1" --target "$1" -- busybox ps -o args >/dev/null
  await 30 has_ended mixed "debug-$1" || return
  if [ "$(ended mixed "debug-$1" exitCode)" = 0 ]; then
    kubectl logs mixed --container "debug-$1"
  else
    ended mixed "debug-$1" message
  fi
}

shows_its_end() { contains "$(terminated trap message)" "$1"; }

is_ready() { [ "$(field "$1" '.status.conditions[?(@.type=="Ready")].status')" = True ]; }

# exec_code POD ARG...: the exit code of a process in it.
exec_code() {
  local code=0
  kubectl exec "$1" -- "${@:2}" >/dev/null 2>&1 || code=$?
  echo $code
}

resize() { kubectl patch pod "$1" --subresource resize --patch '{"spec": {"containers": [{"name": "guest", "resources": {"requests": {"memory": "128Mi"}, "limits": {"memory": "128Mi"}}}]}}'; }
has_limit() { [ "$(field "$1" '.status.containerStatuses[0].resources.limits.memory')" = "$2" ]; }

node_says() { kubectl get --raw "/api/v1/nodes/node/proxy/$1"; }

# has_summary POD: the kubelet's summary has the memory and processor time of its container.
has_summary() {
  node_says stats/summary |
    jq --exit-status --arg pod "$1" '.pods[] | select(.podRef.name == $pod) | .containers[0] | .memory.workingSetBytes > 0 and .cpu.usageCoreNanoSeconds > 0' >/dev/null
}

# has_metrics POD: and so has what a metrics server asks the kubelet for, which is what `kubectl top` shows.
has_metrics() {
  local what
  for what in cpu_usage_seconds_total memory_working_set_bytes; do
    node_says metrics/resource | awk -v pod="pod=\"$1\"" -v what="^container_$what{" '$0 ~ what && index($0, pod) && $2 > 0 { found = 1 } END { exit !found }' || return
  done
}

# lives POD: what can be done with a running Wasm pod.
lives() {
  check "$1 is ready: its exec probes succeed" await 60 is_ready "$1"
  check "kubectl exec in $1 prints what the guest prints" same "$(kubectl exec "$1" -- nap 0)" "$(printf 'sleeping\nwoke')"
  check "and ends as the guest does" same "$(exec_code "$1" nap no-number)" 134
  check "kubectl exec in $1 has a stdin" same "$(echo | kubectl exec --stdin "$1" -- nap 0)" "$(printf 'sleeping\nwoke')"
  check "the kubelet's summary has figures of $1" await 60 has_summary "$1"
  check "and so has what kubectl top shows" await 60 has_metrics "$1"
  check "$1 is resized in place" resize "$1"
  check "which its status tells" await 60 has_limit "$1" 128Mi
  check "and it was not restarted" same "$(field "$1" '.status.containerStatuses[0].restartCount')" 0
}

# load FILE ARG...: clients of a service while its pods are replaced; what they say goes to FILE.
load() { "$scripts/cluster.sh" exec wrk --threads 1 --connections 8 --duration 25s --script "$scripts/test/load.lua" "${@:2}" >"$1"; }

# loses FILE: how many of the requests of a load were lost.
loses() { sed -n 's/^requests sent: \([1-9][0-9]*\), failed: \([0-9]*\)$/\2/p' "$1"; }

# rolls DEPLOYMENT: its pods are replaced while clients ask its service.
rolls() {
  local address kept fresh
  check "$1 is rolled out" kubectl rollout status "deployment/$1" --timeout=60s
  address=http://$(kubectl get service "$1" -o 'jsonpath={.spec.clusterIP}')/hello
  load "$work/kept" "$address" & kept=$!
  load "$work/fresh" --header "Connection: close" "$address" & fresh=$!
  check "its pods are replaced under load" kubectl rollout restart "deployment/$1"
  check "one after the other" kubectl rollout status "deployment/$1" --timeout=60s
  wait $kept $fresh || true
  cat "$work/kept" "$work/fresh"
  check "whoever keeps a connection loses no request" same "$(loses "$work/kept")" 0
  check "whoever makes one for each request loses none" same "$(loses "$work/fresh")" 0
}

install_packages wrk
"$scripts/cluster.sh" up
images
kubectl apply -f - <"$scripts/test/pods.yaml"

check "a Wasm pod ends as Succeeded" ends hello Succeeded
check "its log is what the guest printed" same "$(kubectl logs hello)" "hello from run-wasm"
check "its exit code is 0" same "$(terminated hello exitCode)" 0
check "a guest that exits 7 ends as Failed" ends seven Failed
check "its exit code is 7" same "$(terminated seven exitCode)" 7
check "a guest that traps ends as Failed" ends trap Failed
check "its exit code is 134" same "$(terminated trap exitCode)" 134
check "its termination message names the trap" shows_its_end unreachable
check "its termination message has the backtrace" shows_its_end inner
check "a native pod beside them ends as Succeeded" ends native Succeeded
check "the native pod's log is what it printed" same "$(kubectl logs native)" "hello from a native pod"
lives living
lives living-shared
kubectl apply -f - <"$scripts/test/web.yaml"
rolls web
rolls web-shared
kubectl apply -f - <"$scripts/test/mixed.yaml"
check "a guest beside native containers runs" await 60 runs mixed guest
check "a guest reads what a native init container wrote" await 30 has_ended mixed reader
check "it has read all of it" contains "$(kubectl logs mixed --container reader)" "from a native init container"
check "the log of a native sidecar is what it printed" same "$(kubectl logs mixed --container sidecar)" up
check "a process is executed in a native sidecar" same "$(kubectl exec mixed --container sidecar -- busybox id -u)" 0
check "a debugger sees the processes of a native sidecar" contains "$(debugged sidecar)" "sleep 4321"
check "a debugger of a guest is refused" contains "$(debugged guest)" "a Wasm container has none to see"
check "a guest goes on beside them" runs mixed guest
check "the pods can be deleted" kubectl delete -f "$scripts/test/pods.yaml" -f "$scripts/test/mixed.yaml" -f "$scripts/test/web.yaml" --grace-period=2 --timeout=30s
"$scripts/cluster.sh" down
check "nothing of the cluster stays behind" same "$(traces)" ""
checks_result
