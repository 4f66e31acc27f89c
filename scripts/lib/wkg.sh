# shellcheck shell=bash
# wkg, others' tool for components in registries, which ours is held against. Needs lib/common.sh and lib/rust.sh.

WKG=0.16.1
WKG_BIN=$CACHE/wkg-$WKG/bin

# ensure_wkg: it is there.
ensure_wkg() {
  ensure_rust
  cached "wkg-$WKG" install_wkg
}

# install_wkg FOLDER: as fast to build as can be.
install_wkg() { CARGO_PROFILE_DEV_DEBUG=false install_crate "$1" wkg "$WKG" --debug; }
