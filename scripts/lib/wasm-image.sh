# Images of one Wasm program. Needs lib/common.sh, and the build.

# wasm_image NAME PROGRAM TAR: an OCI image called NAME that runs the Wasm file PROGRAM, packed for `ctr images import`.
wasm_image() { "$BUILT/run-wasm" image --name "$1" --output "$3" "$2"; }
