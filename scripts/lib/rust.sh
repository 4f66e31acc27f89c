# The Rust that the workspace asks for. Needs lib/common.sh and lib/debian.sh.

# ensure_rust: cargo of rust-toolchain.toml's release or newer is on PATH, installed by rustup's own installer where it
# is not.
ensure_rust() {
  local wanted
  wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")
  export PATH=$PATH:$HOME/.cargo/bin
  at_least "$(cd "$ROOT" && cargo --version 2>/dev/null | awk '{ print $2 }')" "$wanted" && return
  timed "install Rust $wanted" install_rust "$wanted" ||
    die "Rust $wanted could not be installed from here: put cargo $wanted or newer on PATH by another of the ways at https://rustup.rs"
  export PATH=$HOME/.cargo/bin:$PATH
  (cd "$ROOT" && cargo --version >&2) || die "Rust $wanted could not be installed: see https://rustup.rs"
}

# install_rust RELEASE: a rustup that is there adds the release; else its installer brings both.
install_rust() {
  if command -v rustup >/dev/null; then
    rustup toolchain install "$1" --profile minimal --component clippy --component rustfmt
    return
  fi
  install_packages curl ca-certificates
  curl --proto '=https' --tlsv1.2 -fsS https://sh.rustup.rs |
    sh -s -- -y --no-modify-path --profile minimal --default-toolchain "$1" --component clippy --component rustfmt
}

# install_crate FOLDER CRATE RELEASE OPTION...: its programs are in FOLDER/bin. From $ROOT for its release of Rust; cargo install does
# not look at its settings.
install_crate() {
  (cd "$ROOT" && CARGO_TARGET_DIR=$1/target cargo install "$2" --version "=$3" --locked --quiet --root "$1" "${@:4}")
  rm -rf "$1/target"
}
