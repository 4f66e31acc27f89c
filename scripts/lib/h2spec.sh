# shellcheck shell=bash
# h2spec, which tries HTTP/2 servers for conformance. Needs lib/common.sh, lib/debian.sh and lib/go.sh.

H2SPEC_SOURCE=$ROOT/scripts/h2spec
# The hash stands for all that it is built from.
H2SPEC_BIN=$CACHE/h2spec-$(cat "$H2SPEC_SOURCE"/{go.mod,go.sum} | sha256sum | cut -c 1-8)

# ensure_h2spec: it is there.
ensure_h2spec() { built_by_go "$H2SPEC_BIN" build_h2spec; }

# build_h2spec FOLDER
build_h2spec() {
  (cd "$H2SPEC_SOURCE" && CGO_ENABLED=0 "$GO" build -trimpath -buildvcs=false -o "$1/" github.com/summerwind/h2spec/cmd/h2spec)
}
