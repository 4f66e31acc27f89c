#!/bin/bash
# conformance.sh wasi DIR [NAME...]: runs the WASI test suite (github.com/WebAssembly/wasi-testsuite), each program in a
# container under containerd 2.1 and this shim, and prints what passed, failed and was skipped. DIR is a checkout that has
# the programs built, of the branch prod/testsuite-base; a NAME chooses the programs that have it in theirs.
# conformance.sh critest [NAME...]: runs critest (github.com/kubernetes-sigs/cri-tools), Kubernetes' tests of container
# runtimes, under containerd 2.1 with native containers: with this shim's handler, with its shared mode, and with plain runc to
# compare; and, with a Wasm image, those specs that it can do. It prints what passed, failed and was skipped with each. A
# NAME, a regular expression, chooses specs with native containers. Reports and logs stay in target/critest.
# Both fail where docs/conformance.md and the result differ.
# Environment, for critest:
#   SHIM_DIR   the folder of the containerd-shim-run-v2 that is tested, and of run-wasm (default: a build)
#   GUESTS     the folder of the Wasm programs (default: they are built)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for part in common debian go rust prerequisites containerd private critest; do . "$here/lib/$part.sh"; done

# The whole workspace, as the tests build it: any other choice would compile Wasmtime once more.
build() { cargo build --quiet --profile "$PROFILE" --workspace --bins --tests; }

# wasi DIR [NAME...]
wasi() {
  local WASI_TESTSUITE SHIM_DIR=$BUILT GUESTS=$ROOT/target/guests
  WASI_TESTSUITE=$(realpath "$1")
  export WASI_TESTSUITE CONTAINERD_1_7 CONTAINERD_2_1 SHIM_DIR GUESTS
  ensure_run_tools
  ensure_containerd
  build
  cargo test --quiet --profile "$PROFILE" --workspace --test conformance -- "${@:2}"
}

# critest [NAME...]
critest() {
  local product=${SHIM_DIR:-$BUILT} guests=${GUESTS:-$ROOT/target/guests}
  reports=$TARGET_DIR/critest
  outside_shared_paths "$CACHE" "$ROOT" "$reports" "$product" "${TMPDIR:-/tmp}"
  ensure_build_tools
  ensure_run_tools
  ensure_containerd
  ensure_pod_network
  ensure_registry
  ensure_critest
  [ -n "${SHIM_DIR:-}" ] || build
  [ -n "${GUESTS:-}" ] || "$here/guests.sh" ticker >/dev/null
  work=$(mktemp -d)
  trap clean_critest EXIT
  rm -rf "$reports"
  mkdir -p "$reports"
  "$product/run-wasm" image --name localhost/ticker:1 --output "$work/ticker.tar" "$guests/ticker.wasm" >/dev/null
  PATH=$product:$CRITEST_BIN:$CONTAINERD_2_1:$REGISTRY_BIN:$PATH \
    unshare --mount --pid --net --uts --ipc --fork --kill-child --mount-proc --propagation slave \
    "$here/critest/inside.sh" "$work" "$reports" "$CNI_BIN" "$CRITEST_BUSYBOX" "$@"
  judge $#
}

# What specs that failed have left: the namespaces have ended the processes. CRI's cgroups are below k8s.io.
clean_critest() {
  local id
  for id in $(cat "$work/left" 2>/dev/null); do remove_cgroup "k8s.io/$id"; done
  rmdir --ignore-fail-on-non-empty /sys/fs/cgroup{,/*}/k8s.io 2>/dev/null || true
  rm -rf "$work"
}

# specs REPORT: what became of each spec, and its name, with a tab between them. Benchmarks are none.
specs() {
  jq -r '.[].SpecReports[] | select(.LeafNodeType == "It")
    | (.ContainerHierarchyTexts + [.LeafNodeText] | join(" ") | ltrimstr("[k8s.io] ")) as $name | select($name | contains("benchmark") | not)
    | (if .State | IN("passed", "skipped") then .State else "failed" end) + "\t" + $name' "$reports/$1.json"
}

# explained: the failures of which docs/conformance.md says why, as "REPORT: NAME". Its rows are "| REPORT, ... | `NAME` | why |".
explained() {
  awk -F ' *[|] *' '/^## / { inside = /^## CRI$/ }
    inside && $3 ~ /^`/ { count = split($2, reports, ", "); for (i = 1; i <= count; i++) print reports[i] ": " substr($3, 2, length($3) - 2) }' "$ROOT/docs/conformance.md"
}

# judge NAMES: prints the results; fails where they are not as explained. Where NAMES (a number) chose specs, nothing is expected of
# others.
judge() {
  local report
  touch "$work"/{tried,failed,chosen}
  printf '\n%-10s %7s %7s %7s\n' critest passed failed skipped
  for report in run run-shared runc wasm; do
    [ ! -f "$reports/$report.json" ] || specs $report | awk -F '\t' -v report=$report -v tried="$work/tried" -v failed="$work/failed" '
      { count[$1]++ }
      $1 != "skipped" { print report ": " $2 >>tried }
      $1 == "failed" { print report ": " $2 >>failed }
      END { printf "%-10s %7d %7d %7d\n", report, count["passed"], count["failed"], count["skipped"] }'
  done
  sed 's/^/failed with /' "$work/failed"
  [ -s "$work/tried" ] || die "no spec was tried: critest's logs are in $reports"
  explained >"$work/explained"
  if [ "$1" != 0 ]; then
    grep -xFf "$work/tried" "$work/explained" >"$work/chosen" || true
    mv "$work/chosen" "$work/explained"
  fi
  unexpected >"$work/unexpected" || true
  cat "$work/unexpected"
  [ ! -s "$work/unexpected" ]
}

# unexpected: failures without an explanation, and explanations without a failure.
unexpected() {
  grep -vxFf "$work/explained" "$work/failed" | sed 's/$/ has failed, and docs\/conformance.md does not say why/'
  grep -vxFf "$work/failed" "$work/explained" | sed 's/$/ has not failed: docs\/conformance.md explains it in vain/'
}

cd "$ROOT"
if [ "${1:-}" = critest ]; then
  critest "${@:2}"
elif [ "${1:-}" = wasi ] && [ $# -ge 2 ]; then
  wasi "${@:2}"
else
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
  exit 2
fi
