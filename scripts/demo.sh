#!/bin/bash
# demo.sh: from a clean checkout on Debian 12, as root, to a WebAssembly component that containerd has run. Installs what
# the machine lacks, builds the shim and a guest, runs it in a containerd of its own beside the same program under runc,
# shows what came out and how long it took, and leaves nothing but the build and the cache.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for part in common debian rust prerequisites containerd private native-image wasm-image; do . "$here/lib/$part.sh"; done

build_product() { (cd "$ROOT" && cargo build --quiet --profile "$PROFILE" --workspace --bins); }

# images FOLDER: one program as Wasm and as machine code, and a guest that ends with a code of its own.
images() {
  wasm_image localhost/hello:1 "$ROOT/target/guests/hello.wasm" "$1/hello.tar"
  wasm_image localhost/exit:1 "$ROOT/target/guests/exit.wasm" "$1/exit.tar"
  rustc -O -C strip=symbols -C target-feature=+crt-static --target "$(uname -m)-unknown-linux-gnu" --edition 2024 \
    -o "$1/hello" "$ROOT/test-images/rust/commands/src/bin/hello.rs"
  native_image localhost/native-hello:1 "$1/hello" "$1/native.tar"
}

clean() {
  remove_cgroup "$(cgroup_of "$work")"
  rm -rf "$work"
}

start=$(milliseconds)
ensure_build_tools
ensure_run_tools
outside_shared_paths "$BUILT" "$CACHE" "$ROOT" "${TMPDIR:-/tmp}"
cached containerd-2.1 unpack_from_debian forky containerd
timed "build the shim" build_product
timed "build the guests" "$here/guests.sh" hello exit
work=$(mktemp -d)
trap clean EXIT
timed "pack images" images "$work"
PATH=$BUILT:$CONTAINERD_2_1:$PATH unshare --mount --pid --fork --kill-child --mount-proc --propagation slave \
  "$here/demo/containers.sh" "$work" "$(cgroup_of "$work")"
say "all of it: $(seconds_since "$start") s"
