# shellcheck shell=bash
# A Rust that compiles to wasm32-wasip1 and wasm32-wasip2. Needs lib/common.sh, lib/debian.sh and lib/rust.sh.

# Debian's Rust, for machines to which rustup cannot bring the targets: what rustc loads, and the three standard libraries.
# trixie's says from which release on most guests can be built; those of WASI 0.3 need forky's.
GUEST_RUST_PACKAGES=(rustc libstd-rust-dev libstd-rust-dev-wasm32 libc6 libgcc-s1 libstdc++6 libffi8 libedit2 libz3-4 zlib1g
  libzstd1 libtinfo6 libbsd0 libmd0)
declare -A GUEST_RUST_SUITES=(
  [trixie]="libstd-rust-1.85 libllvm19 libxml2 liblzma5"
  [forky]="libstd-rust-1.97 libllvm22 libxml2-16"
)
# What makes cargo use it; empty for the machine's own Rust.
GUEST_RUST_ENVIRONMENT=()

# ensure_guest_rust [SUITE]: `guest_cargo` works, below $ROOT, where rust-toolchain.toml chooses the release.
ensure_guest_rust() {
  local suite=${1:-trixie}
  local name=guest-rust-$suite
  ensure_rust
  # Debian's own, where it is there already: rustup may take long to find out that it cannot.
  if [ ! -d "$CACHE/$name" ]; then
    rustup target add wasm32-wasip1 wasm32-wasip2 >&2 && return
    say "rustup cannot bring the Wasm targets: Rust of Debian $suite takes its place"
    cached "$name" unpack_guest_rust "$suite"
  fi
  local linkers
  linkers=$(rustc --print sysroot)/lib/rustlib/$(uname -m)-unknown-linux-gnu/bin
  # rust-lld and wasm-component-ld are those of the machine's own Rust: Debian's has none.
  GUEST_RUST_ENVIRONMENT=(RUSTC="$CACHE/$name/bin/rustc" PATH="$linkers:$linkers/gcc-ld:$PATH")
}

# guest_cargo ARGUMENT...: cargo with that Rust.
guest_cargo() { env "${GUEST_RUST_ENVIRONMENT[@]}" cargo "$@"; }

# unpack_guest_rust SUITE FOLDER: bin/rustc runs by the loader and the libraries that came with it, whatever the machine's.
unpack_guest_rust() {
  local suite=$1 folder=$2 libraries more
  read -ra more <<<"${GUEST_RUST_SUITES[$suite]}"
  unpack_from_debian "$suite" "${GUEST_RUST_PACKAGES[@]}" "${more[@]}" "$folder"
  mkdir "$folder/bin"
  libraries=usr/lib/$(uname -m)-linux-gnu
  cat >"$folder/bin/rustc" <<WRAPPER
#!/bin/bash
root=\$(dirname "\$(dirname "\$(realpath "\$0")")")
exec "\$root/$libraries"/ld-linux-*.so.* --library-path "\$root/$libraries" "\$root/usr/bin/rustc" --sysroot "\$root/usr" "\$@"
WRAPPER
  chmod +x "$folder/bin/rustc"
  "$folder/bin/rustc" --version >&2
}
