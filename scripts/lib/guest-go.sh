# shellcheck shell=bash
# Guests in Go: its own compiler makes modules of WASI preview 1. Needs lib/common.sh, lib/debian.sh, lib/go.sh and
# `guest_tools` of lib/guest-families.sh.

# guest_go OUT ARGUMENT...: go build for WASI. What is built does not depend on where. The linker allows (checklinkname) what
# the bindings do: they ask the runtime for memory before it has started.
guest_go() {
  GOOS=wasip1 GOARCH=wasm GOTOOLCHAIN=local "$GO" build -trimpath -buildvcs=false -ldflags=-checklinkname=0 -o "$@"
}

# go_component FOLDER WIT WORLD OUT: the Go module in FOLDER, with bindings to that world, as a component.
go_component() {
  local work module
  work=$(mktemp -d)
  module=$(sed -n 's/^module //p' "$1/go.mod")
  cp -r "$1/." "$work"
  guest_tools go "$2" "$3" "$module" "$work/bindings"
  (cd "$work" && guest_go core.wasm -buildmode=c-shared .)
  guest_tools reactor "$2" "$3" "$work/core.wasm" "$4"
  rm -rf "$work"
}
