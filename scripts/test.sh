#!/bin/bash
# test.sh [STAGE...]: the project's tests. Without arguments every stage, in this order:
#   lint         formatting, clippy, shellcheck, no file too long
#   build        the workspace and its tests, statically
#   guests       the Wasm programs that the tests run
#   unit         every crate by itself
#   fuzz         by libFuzzer, FUZZ_SECONDS (30) for each: annotations, specs, node configs, execs and resizes; images, plans of
#                compositions, projects and their locks, references
#   containerd   containers under containerd 1.7 and 2.1
#   cri          pods under both, called as a kubelet calls them
#   sandboxer    pods by the sandbox service under the newest containerd, which is built the first time
#   jail         what a native attacker in place of the guest can reach
#   grants       the table of grants, granted and not granted
#   escapes      hostile guests after what was not granted
#   strict       the strict profile: a hundred runs, one output
#   faults       broken input, full disks, kill -9 at every step
#   life         exec, pause, resize, a containerd that is away, in both modes
#   http         components that serve, in both modes; h2spec
#   image        projects, registries and other people's tools: built, pushed, pulled, run by ctr and CRI, in both modes; and run without
#                containerd, by root and by others
#   polyglot     one application in Rust, Go and Python, linked at build and at load, in both modes
#   chaos        everything at once in any order, while whatever can fail does, CHAOS_SECONDS (30) each; in both modes
#   shared       those from containerd to faults in shared mode, and the faults of a manager and its hosts
#   installer    the node installer: its plans for every distribution, and kill -9, full disks and broken configs under containerd 1.7 and 2.1
#   kubernetes   what Kubernetes offers pods, in both modes: a table of features; then restarts, a reboot and a drain of the node
#   chart        the Helm chart before a real API server and on a node, its policy of annotations, the installer's image
#   cgroup2      cgroup v2 and systemd's driver, under containerd and under a kubelet, and the node installer with systemd, in a virtual
#                machine: processors are emulated, so it takes some minutes
# A stage that fails does not keep the next from running. The last line is the sum.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for part in common debian go rust prerequisites containerd h2spec kubernetes coredns helm machine oci-tools wkg; do . "$here/lib/$part.sh"; done
cd "$ROOT"

stages=(lint build guests unit fuzz containerd cri sandboxer jail grants escapes strict faults life http image polyglot chaos shared installer kubernetes chart cgroup2)
longest_file=600
export CONTAINERD_1_7 CONTAINERD_2_1 CONTAINERD_NEWEST SHIM_DIR=$BUILT GUESTS=$ROOT/target/guests CNI_BIN REGISTRY_BIN BUSYBOX_BIN H2SPEC_BIN OCI_TOOLS_BIN WKG_BIN

stage_lint() {
  cargo fmt --all --check
  cargo clippy --profile "$PROFILE" --workspace --all-targets --quiet -- -D warnings
  git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck --severity warning --shell bash --exclude SC1090,SC1091,SC2034,SC2164
  no_file_too_long
}

no_file_too_long() {
  git ls-files -z '*.rs' '*.sh' '*.py' '*.c' '*.go' '*.js' | xargs -0 wc -l |
    awk -v most=$longest_file '$2 != "total" && $1 > most { print $2 " has " $1 " lines; " most " are the most: give its parts files of their own"; bad = 1 } END { exit bad }'
}

# Cargo is always asked for the whole workspace, tests included, and the targets are chosen by name: it unites the
# features of what it is asked for, and any other choice would compile Wasmtime once more.
compile() { cargo build --profile "$PROFILE" --workspace --bins --tests "$@"; }
run_tests() { cargo test --profile "$PROFILE" --workspace --no-fail-fast "$@"; }

stage_build() {
  compile
  strip -o "$logs/shim" "$SHIM_DIR/containerd-shim-run-v2"
  echo "containerd-shim-run-v2: $(size_of "$SHIM_DIR/containerd-shim-run-v2") KiB, $(size_of "$logs/shim") KiB without symbols"
}

size_of() { echo $(($(stat -c %s "$1") / 1024)); }

stage_guests() { "$here/guests.sh"; }

stage_unit() {
  local file tests=()
  for file in crates/{grants,image,builder,host,shim,cli}/tests/*.rs; do
    case $file in
      # The jail has a stage of its own, and what talks to registries is of the stage `image`.
      crates/host/tests/jail.rs | crates/cli/tests/registry.rs) ;;
      *) [ ! -f "$file" ] || tests+=(--test "$(basename "$file" .rs)") ;;
    esac
  done
  run_tests --lib --bins "${tests[@]}"
}

stage_fuzz() { "$here/test/fuzz.sh"; }

# needs_product: a stage that runs alone builds what it runs; after the other stages this takes no time.
needs_product() {
  ensure_run_tools
  compile --quiet
  "$here/guests.sh" >/dev/null
}

# e2e NAME [OPTION...]: the tests of that name in testkit; they start the daemons themselves.
e2e() {
  needs_product
  ensure_containerd
  run_tests --test "$1" -- "${@:2}"
}
stage_containerd() {
  ensure_busybox
  ensure_registry
  e2e containerd
}
stage_cri() {
  ensure_pod_network
  ensure_registry
  ensure_busybox
  e2e cri
}
stage_sandboxer() {
  ensure_pod_network
  ensure_newest_containerd
  e2e sandboxer
}
# Shows what was tried and what was reached.
stage_jail() { e2e jail --nocapture; }
# Print a table of their own.
stage_grants() { e2e grants; }
stage_escapes() { e2e escapes; }
stage_strict() { e2e strict; }
stage_faults() { e2e faults; }

stage_life() {
  ensure_pod_network
  ensure_registry
  e2e life --test-threads=3
  RUN_WASM_TESTS_MODE=shared run_tests --test life -- --test-threads=3
}

stage_http() {
  ensure_pod_network
  ensure_registry
  ensure_h2spec
  e2e http --test-threads=3
  RUN_WASM_TESTS_MODE=shared run_tests --test http -- --test-threads=3
}

stage_image() {
  ensure_pod_network
  ensure_registry
  ensure_oci_tools
  ensure_wkg
  install_packages skopeo
  run_tests --test registry
  build_projects
  e2e image --test-threads=3
  run_tests --test local -- --test-threads=2
  RUN_WASM_TESTS_MODE=shared run_tests --test image -- --test-threads=3
}

# build_projects: every test image that is a project, built twice: what differs from its lock is refused. The polyglot application
# has a stage of its own.
build_projects() {
  local file folder
  needs_product
  for file in test-images/*/run.toml; do
    folder=$(dirname "$file")
    [ "$folder" = test-images/polyglot ] && continue
    "$SHIM_DIR/run-wasm" build "$folder" --quiet --output "oci:$logs/image-$(basename "$folder")"
    "$SHIM_DIR/run-wasm" build "$folder" --quiet --locked --output "oci:$logs/image-$(basename "$folder")"
  done
}

stage_polyglot() {
  ensure_go
  (cd test-images/polyglot/auth && "$GO" vet ./jwt && "$GO" test ./jwt)
  e2e polyglot
  RUN_WASM_TESTS_MODE=shared run_tests --test polyglot
}

# Prints what was done, which faults there were, and the seed that replays it.
stage_chaos() {
  e2e chaos --test-threads=1 --nocapture
  RUN_WASM_TESTS_MODE=shared run_tests --test chaos -- --test-threads=1 --nocapture
}

# What has no meaning in shared mode says so, and is counted apart.
stage_shared() {
  ensure_pod_network
  ensure_registry
  ensure_busybox
  ensure_newest_containerd
  needs_product
  ensure_containerd
  local test tests=()
  for test in containerd cri sandboxer jail grants escapes strict faults; do tests+=(--test "$test"); done
  # They wait for managers to end more than they compute.
  RUN_WASM_TESTS_MODE=shared run_tests "${tests[@]}" -- --test-threads=4 || shared_failed=1
  run_tests --test shared -- --test-threads=4
  [ -z "${shared_failed-}" ]
}

# Prints how often the installer was killed, and in which states the nodes ended.
stage_installer() {
  needs_product
  ensure_containerd
  install_packages strace
  run_tests --test plans --test installer -- --nocapture --test-threads=3
}

# One cluster for both modes.
stage_kubernetes() {
  install_packages curl wrk
  ensure_registry
  ensure_cluster_parts
  ensure_kubernetes
  ensure_coredns
  cat "$logs/kubernetes-build.log"
  "$here/test/pod-fields.sh"
  e2e kubernetes
}

stage_chart() {
  needs_product
  ensure_kubernetes
  ensure_helm
  cat "$logs/helm-build.log"
  "$here/test/chart.sh"
}

# The machine gets the tests as programs.
stage_cgroup2() {
  local name program
  needs_product
  ensure_containerd
  ensure_cluster_parts
  ensure_kubernetes
  ensure_machine
  mkdir -p "$logs/programs"
  compile --quiet --message-format json |
    jq -r 'select(.executable and .profile.test and (.target.name | IN("cgroup2", "containerd"))) | "\(.target.name) \(.executable)"' |
    while read -r name program; do ln -s "$program" "$logs/programs/$name"; done
  "$here/test/cgroup2.sh" "$logs/programs"
}

# begin_kubernetes: its programs take minutes to build the first time, so they are built while other stages run.
begin_kubernetes() {
  { ensure_kubernetes && ensure_coredns; } >"$logs/kubernetes-build.log" 2>&1 &
}

# begin_helm: two minutes the first time.
begin_helm() {
  ensure_helm >"$logs/helm-build.log" 2>&1 &
}

# run_stage NAME: keeps what it prints in $logs, and its result in the table.
run_stage() {
  local name=$1 status=0 start passed failed without apart=
  say "$name"
  start=$(milliseconds)
  # Not in a condition: there, bash would not stop at the stage's first failure.
  set +e
  (set -e; "stage_$name") 2>&1 | tee "$logs/$name.log"
  status=${PIPESTATUS[0]}
  set -e
  read -r passed failed without < <(count_tests "$logs/$name.log")
  [ "$without" = 0 ] || apart=$(printf '   %3d without a meaning' "$without")
  if [ $((passed + failed)) = 0 ]; then
    [ "$status" = 0 ] && passed=1 || failed=1
  elif [ "$status" != 0 ] && [ "$failed" = 0 ]; then
    failed=1
  fi
  all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed))
  failed_tests "$name" "$logs/$name.log" >>"$logs/failed"
  table+=$(printf '%-12s %8s s   %4d passed   %3d failed%s' "$name" "$(seconds_since "$start")" "$passed" "$failed" "$apart")$'\n'
}

# failed_tests STAGE LOG: their names, below what a check in shell said of its own.
failed_tests() {
  awk -v stage="$1" '/^  (got|wanted|waited)/ { said = said $0 "\n"; next }
    /^test .* \.\.\. FAILED$/ { printf "%s%s: %s\n", said, stage, $0 }
    /^test / { said = "" }' "$2"
}

# count_tests LOG: "PASSED FAILED WITHOUT", summed over the result lines that cargo and our own scripts print. Tests without
# a meaning in the mode that was tested are no passes.
count_tests() {
  awk '/^test result: / { for (i = 2; i <= NF; i++) { if ($i == "passed;") p += $(i - 1); if ($i == "failed;") f += $(i - 1) } }
    /^without a meaning / { w++ }
    END { print p - w, f + 0, w + 0 }' "$1"
}

for stage in "$@"; do
  [[ " ${stages[*]} " == *" $stage "* ]] || die "there is no stage \"$stage\": choose from ${stages[*]}"
done
[ $# = 0 ] || stages=("$@")

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
all_passed=0 all_failed=0 table=
ensure_build_tools
install_packages shellcheck
[[ " ${stages[*]} " != *" kubernetes "* ]] || begin_kubernetes
[[ " ${stages[*]} " != *" chart "* ]] || begin_helm
for stage in "${stages[@]}"; do run_stage "$stage"; done
printf '\n%s' "$table"
cat "$logs/failed"
echo "$all_passed passed, $all_failed failed"
[ "$all_failed" = 0 ]
