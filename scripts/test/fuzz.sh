#!/bin/bash
# fuzz.sh: each fuzz target for FUZZ_SECONDS (30), from the corpus in fuzz/corpus. What crashes one is kept in
# target/fuzz/found, with the command that shows it again.
#
# The compiler of the workspace builds them, with libFuzzer's instrumentation and without cargo-fuzz, which needs
# another compiler: docs/decisions/0009-fuzzing.md.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
for part in common debian rust prerequisites; do . "$here/lib/$part.sh"; done
seconds=${FUZZ_SECONDS:-30}
built=$TARGET_DIR/fuzz/$(uname -m)-unknown-linux-gnu/release
found=$TARGET_DIR/fuzz/found
mkdir -p "$found"
cd "$ROOT/fuzz"
ensure_build_tools

instrumented="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
for counters in inline-8bit-counters pc-table trace-compares; do instrumented+=" -Cllvm-args=-sanitizer-coverage-$counters"; done
cargo fmt --check
# One unit of code: of more the linker may leave out the list of counters of some.
RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 $instrumented" CARGO_TARGET_DIR=$TARGET_DIR/fuzz \
  cargo build --release --quiet --target "$(uname -m)-unknown-linux-gnu"

# What the unit tests have as files need not be here twice.
declare -A more=([spec]=$ROOT/crates/grants/tests/data)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# fuzz TARGET: says what came of it; fails where there is a fault.
fuzz() {
  local target=$1 words
  mkdir "$scratch/$target"
  words=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 -artifact_prefix="$found/$target-")
  [ ! -f "$target.dict" ] || words+=(-dict="$target.dict")
  words+=("$scratch/$target" "corpus/$target" ${more[$target]:+"${more[$target]}"})
  if "$built/$target" "${words[@]}" >"$scratch/$target.log" 2>&1; then
    awk -v target="$target" -v s="$seconds" '/number_of_executed_units/ { runs = $2 } /new_units_added/ { new = $2 } END { printf "%-12s %d s: %d inputs, %d of them reached something new, none is a fault\n", target, s, runs, new }' "$scratch/$target.log"
  else
    tail -40 "$scratch/$target.log"
    echo "$target: a fault was found; $built/$target $found/$target-* shows it again"
    return 1
  fi
}

# Each is one thread: as many at once as there are processors.
running=() passed=0 failed=0
finish_first() {
  if wait "${running[0]}"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  running=("${running[@]:1}")
}
for file in fuzz_targets/*.rs; do
  [ "${#running[@]}" -lt "$(nproc)" ] || finish_first
  fuzz "$(basename "$file" .rs)" &
  running+=($!)
done
while [ "${#running[@]}" != 0 ]; do finish_first; done
echo "test result: fuzz. $passed passed; $failed failed"
[ "$failed" = 0 ]
