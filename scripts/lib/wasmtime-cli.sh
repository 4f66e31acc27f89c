# shellcheck shell=bash
# The `wasmtime` program of the release that the product is built with. Needs lib/common.sh and lib/rust.sh.

WASMTIME=$(sed -n 's/^wasmtime = { version = "\([^"]*\)".*/\1/p' "$ROOT/Cargo.toml")
# Where it is kept: what goes on PATH.
WASMTIME_CLI=$CACHE/wasmtime-$WASMTIME-serve/bin

# ensure_wasmtime_cli: it is there.
ensure_wasmtime_cli() {
  ensure_rust
  cached "wasmtime-$WASMTIME-serve" install_wasmtime_cli
}

# install_wasmtime_cli FOLDER: only what `wasmtime run` and `wasmtime serve` need; none of what is left out has a part in how
# fast they are.
install_wasmtime_cli() {
  install_crate "$1" wasmtime-cli "$WASMTIME" --jobs "${BENCH_JOBS:-$(nproc)}" \
    --no-default-features --features run,serve,cranelift,component-model,component-model-async,pooling-allocator,parallel-compilation
}
