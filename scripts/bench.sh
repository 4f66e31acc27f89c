#!/bin/bash
# bench.sh NAME [--json FILE] [OPTION...]: measures run-wasm beside its peers, all in one run, in a containerd of its own.
#   startup   from `ctr run` and from the task API's Create to output and end, warm and cold
#   memory    what sleeping containers keep
#   limits    how close CPU quota, CPU weight and memory limit are to what was asked for
#   density   what a container keeps among a thousand, and among ten thousand in one manager
#   lifecycle whole lives of containers a second, and many `ctr run` at once
#   soak      what one manager holds after thirty thousand lives, beside what it held after the first thousand
#   compute   how fast compiled code is beside `wasmtime run` of the same release
#   compose   a call from one component to another, how long the image of three takes to make, and its size beside a native one
#   http      requests a second of HTTP servers beside `wasmtime serve` of the same release, and what the idle cost
#   kubernetes   from `kubectl apply` of a Deployment until all its pods are Ready, and what pods keep of the machine's memory
# Options are the driver's, `bench.sh NAME --help` shows them. It prints a table: medians with their noise, ratios, and
# what was promised of them; --json writes the same as {"metric.name": number}.
# Environment:
#   SHIM_DIR   the folder of the containerd-shim-run-v2 that is measured, and of run-wasm (default: a release build)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for part in common debian rust go prerequisites containerd private native-image wasmtime-cli; do . "$here/lib/$part.sh"; done

target=$(uname -m)-unknown-linux-gnu
benches=$CACHE/benches-target/$target/release
product=$CACHE/release-target/$target/release
native=(hello sleep)
wasm=(hello sleep spin memory-hog compute hello-js sleep-js sleep-py serve serve.p3)
polyglot=(polyglot-router polyglot-auth polyglot-pages)

# release FOLDER TARGET_FOLDER OPTION...: a release build of the workspace in FOLDER.
release() { (cd "$1" && CARGO_TARGET_DIR=$2 cargo build --quiet --release --jobs "${BENCH_JOBS:-$(nproc)}" "${@:3}"); }

build_product() { release "$ROOT" "$CACHE/release-target" --workspace --bins; }
# Peers and drivers are static as the product is, by flags of their own: what the product needs beside is no part of a peer, and
# a change of it compiles none anew.
build_benches() {
  local -x RUSTFLAGS='-C target-feature=+crt-static -C relocation-model=static --cfg getrandom_backend="linux_getrandom"'
  release "$ROOT/benches" "$CACHE/benches-target"
  # Composition has no peer that starts containers.
  [ "$name" = compose ] || LIBSECCOMP_LINK_TYPE=static LIBSECCOMP_LIB_PATH=/usr/lib/$(uname -m)-linux-gnu \
    release "$ROOT/benches/peer-runwasi" "$CACHE/benches-target/peer"
}

# images FOLDER: the guests as Wasm, and those that native peers run as machine code, from the same source.
images() {
  local program
  mkdir "$1"
  for program in "${wasm[@]}"; do
    "$product/run-wasm" image --name "localhost/$program:1" --output "$1/$program.tar" "$ROOT/target/guests/$program.wasm"
  done
  for program in "${native[@]}"; do
    rustc -O -C strip=symbols -C target-feature=+crt-static --target "$target" --edition 2024 \
      -o "$work/$program" "$ROOT/test-images/rust/commands/src/bin/$program.rs"
    native_image "localhost/native-$program:1" "$work/$program" "$1/native-$program.tar"
  done
}

# composition: the project of three components as files that are there, and the same service as one native program.
composition() {
  mkdir "$work/polyglot"
  sed -e '/^\(dir\|build\) = /d' -e 's,^output = "target/,path = "../,' "$ROOT/test-images/polyglot/run.toml" >"$work/polyglot/run.toml"
  ensure_go
  # Its check of tokens and its page are those of the components.
  cp -r "$ROOT/benches/native-polyglot" "$work/native"
  cp -r "$ROOT"/test-images/polyglot/{auth/jwt,pages/page.html} "$work/native/"
  (cd "$work/native" &&
    CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOPROXY=off "$GO" build -trimpath -buildvcs=false -ldflags='-s -w' -o "$work/native-polyglot" .)
  native_image localhost/native-polyglot:1 "$work/native-polyglot" "$work/images/native-polyglot.tar"
}

# on_a_node OPTION...: the driver in the namespaces of a Kubernetes node that runs pods of every peer.
on_a_node() {
  local -x CLUSTER_DIR=$work/cluster SHIM_DIR=$work/shims CLUSTER_RUNTIMES=$here/bench/node/runtimes.toml
  mkdir "$SHIM_DIR"
  ln -s "$product/containerd-shim-run-v2" "$benches/containerd-shim-null-v2" "$CACHE/benches-target/peer/$target/release/containerd-shim-peer-v1" "$SHIM_DIR/"
  "$here/cluster.sh" up
  "$here/cluster.sh" kubectl apply -f - <"$here/bench/node/runtimeclasses.yaml"
  "$here/cluster.sh" import "$work"/images/*.tar
  "$here/cluster.sh" exec env --chdir "$PWD" "$benches/bench-driver" kubernetes --folder "$work" "$@"
}

clean() {
  [ ! -d "$work/cluster" ] || CLUSTER_DIR=$work/cluster "$here/cluster.sh" down
  remove_cgroup "$(cgroup_of "$work")"
  rm -rf "$work"
}

[[ ${1:--} != -* ]] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
name=$1
shift
ensure_build_tools
ensure_run_tools
outside_shared_paths "$CACHE" "$ROOT" "${SHIM_DIR:-$product}" "${TMPDIR:-/tmp}"
cached containerd-2.1 unpack_from_debian forky containerd
if [ -n "${SHIM_DIR:-}" ]; then product=$SHIM_DIR; else timed "build the product" build_product; fi
timed "build the benches" build_benches
guests=("${wasm[@]}")
case $name in
compute) ensure_wasmtime_cli ;;
http)
  ensure_wasmtime_cli
  install_packages wrk
  ;;
compose) guests=("${polyglot[@]}") wasm=() native=() ;;
kubernetes) guests=(sleep) wasm=(sleep) native=(sleep) ;;
esac
timed "build the guests" "$here/guests.sh" "${guests[@]}" >/dev/null
work=$(mktemp -d)
trap clean EXIT
ln -s "$ROOT/target/guests" "$work/guests"
timed "pack images" images "$work/images"
[ "$name" != compose ] || timed "prepare the composition" composition
say "measured: $product/containerd-shim-run-v2, $(stat -c '%s bytes, of %y' "$product/containerd-shim-run-v2")"
if [ "$name" = kubernetes ]; then
  on_a_node "$@"
  exit
fi
PATH=$product:$benches:$CACHE/benches-target/peer/$target/release:$here/bench:$CONTAINERD_2_1:$WASMTIME_CLI:$PATH CONTAINERD_NAMESPACE=$(cgroup_of "$work") \
  unshare --mount --pid --fork --kill-child --mount-proc --propagation slave \
  "$here/bench/inside.sh" "$work" "$name" "$@"
