# What a fresh Debian 12 lacks. Needs lib/common.sh, lib/debian.sh and lib/rust.sh.

# To compile the workspace.
BUILD_PACKAGES=(build-essential ca-certificates curl git libseccomp-dev pkg-config protobuf-compiler)
# To run containers beside ours and to look at them; runc runs the native ones of our own pods, too.
RUN_PACKAGES=(crun iproute2 jq nftables openssl procps runc util-linux)

# ensure_build_tools: the workspace can be compiled.
ensure_build_tools() {
  install_packages "${BUILD_PACKAGES[@]}"
  ensure_rust
}

# ensure_run_tools: containers can be run; only root can, on Linux.
ensure_run_tools() {
  [ "$(id -u)" = 0 ] || die "containers are made by root: run this as root"
  install_packages "${RUN_PACKAGES[@]}"
}
