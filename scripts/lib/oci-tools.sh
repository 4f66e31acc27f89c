# shellcheck shell=bash
# oras, and a registry that knows of referrers: others' tools, which ours are held against. Needs lib/common.sh, lib/debian.sh
# and lib/go.sh.

OCI_TOOLS_SOURCE=$ROOT/scripts/oci-tools
# The hash stands for all that they are built from.
OCI_TOOLS_BIN=$CACHE/oci-tools-$(cat "$OCI_TOOLS_SOURCE"/{go.mod,go.sum,registry/main.go} | sha256sum | cut -c 1-8)

# ensure_oci_tools: they are there.
ensure_oci_tools() { built_by_go "$OCI_TOOLS_BIN" build_oci_tools; }

# build_oci_tools FOLDER
build_oci_tools() {
  (cd "$OCI_TOOLS_SOURCE" && CGO_ENABLED=0 "$GO" build -trimpath -buildvcs=false -o "$1/" ./registry oras.land/oras/cmd/oras)
}
