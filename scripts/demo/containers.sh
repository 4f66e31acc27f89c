#!/bin/bash
# containers.sh FOLDER NAMESPACE: starts a containerd with its state in FOLDER, imports FOLDER's images and runs them.
# Process 1 of a pid namespace, in a mount namespace of its own: when it ends, so does everything it started.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
. "$(dirname "$0")/../lib/private.sh"
folder=$1
export CONTAINERD_NAMESPACE=$2
runs=10

start_containerd() {
  cat >"$folder/containerd.toml" <<CONFIG
version = 3
root = "$folder/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[plugins.'io.containerd.internal.v1.opt']
  path = "$folder/opt"
CONFIG
  containerd --config "$folder/containerd.toml" >"$folder/containerd.log" 2>&1 &
  await 20 ctr version || { tail "$folder/containerd.log" >&2; die "containerd did not start"; }
}

import() {
  local tar
  for tar in "$folder"/*.tar; do ctr images import --local "$tar" >/dev/null; done
}

# show CODE COMMAND...: the command, its output, how it ended and what it took; it has to end with CODE.
show() {
  local wanted=$1 start status=0
  shift
  printf '\n$ %s\n' "$*"
  start=$(milliseconds)
  "$@" || status=$?
  printf '(exit code %d, %d ms)\n' "$status" $(($(milliseconds) - start))
  [ "$status" = "$wanted" ] || die "that should have ended with exit code $wanted"
}

# durations COMMAND...: what each of the runs took, in milliseconds.
durations() {
  local start
  for _ in $(seq $runs); do
    start=$(milliseconds)
    "$@" >/dev/null || die "a run failed"
    echo $(($(milliseconds) - start))
  done
}

# median_of COMMAND...
median_of() { durations "$@" | sort -n | sed -n "$((runs / 2 + 1))p"; }

wasm=(ctr run --rm --runtime io.containerd.run.v2)
native=(ctr run --rm --runtime io.containerd.runc.v2)

hide_shared_paths "$folder"
timed "start containerd" start_containerd
import
ctr images ls | awk 'NR > 1 { printf "%-28s %s %s, %s\n", $1, $4, $5, $6 }'
show 0 "${wasm[@]}" localhost/hello:1 first
show 0 "${wasm[@]}" localhost/hello:1 second
show 7 "${wasm[@]}" localhost/exit:1 third /exit.wasm 7
show 0 "${native[@]}" localhost/native-hello:1 fourth
wasm_median=$(median_of "${wasm[@]}" localhost/hello:1 wasm)
native_median=$(median_of "${native[@]}" localhost/native-hello:1 native)
printf '\nmedian of %d runs, from ctr to its end: %d ms as Wasm, %d ms the same program under runc\n' $runs "$wasm_median" "$native_median"
