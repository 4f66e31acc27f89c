# shellcheck shell=bash
# wkg, others' tool for components in registries, which ours is held against. Needs lib/common.sh and lib/rust.sh.

WKG=0.16.1
WKG_BIN=$CACHE/wkg-$WKG/bin

# ensure_wkg: it is there.
ensure_wkg() {
  ensure_rust
  cached "wkg-$WKG" install_wkg
}

# install_wkg FOLDER: as fast to build as can be. From $ROOT for its release of Rust.
install_wkg() {
  (cd "$ROOT" && CARGO_TARGET_DIR=$1/target CARGO_PROFILE_DEV_DEBUG=false cargo install wkg --version "=$WKG" --locked --quiet --debug --root "$1")
  rm -rf "$1/target"
}
