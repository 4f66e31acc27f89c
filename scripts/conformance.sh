#!/bin/bash
# conformance.sh wasi DIR [NAME...]: runs the WASI test suite (github.com/WebAssembly/wasi-testsuite), each program in a
# container under containerd 2.1 and this shim, and prints what passed, failed and was skipped. DIR is a checkout that has
# the programs built, of the branch prod/testsuite-base; a NAME chooses the programs that have it in theirs. It fails where
# docs/conformance.md and the result differ.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for part in common debian rust prerequisites containerd; do . "$here/lib/$part.sh"; done

[ $# -ge 2 ] && [ "$1" = wasi ] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
WASI_TESTSUITE=$(realpath "$2")
shift 2
export WASI_TESTSUITE CONTAINERD_1_7 CONTAINERD_2_1 SHIM_DIR=$BUILT GUESTS=$ROOT/target/guests
cd "$ROOT"
ensure_run_tools
ensure_containerd
# The whole workspace, as the tests build it: any other choice would compile Wasmtime once more.
cargo build --quiet --profile "$PROFILE" --workspace --bins --tests
cargo test --quiet --profile "$PROFILE" --workspace --test conformance -- "$@"
