# shellcheck shell=bash
# critest, Kubernetes' tests of container runtimes. Needs lib/common.sh, lib/debian.sh and lib/go.sh.

CRITEST_SOURCE=$ROOT/scripts/critest
CRITEST_VERSION=$(awk '$1 == "require" { print substr($3, 2); exit }' "$CRITEST_SOURCE/go.mod")
# The hash stands for all that it is built from.
CRITEST_BIN=$CACHE/critest-$CRITEST_VERSION-$(cat "$CRITEST_SOURCE"/{go.mod,go.sum} | sha256sum | cut -c 1-8)
# What its images are made of.
CRITEST_BUSYBOX=$CACHE/critest-busybox

# ensure_critest: both are there.
ensure_critest() {
  cached "$(basename "$CRITEST_BUSYBOX")" unpack_from_debian bookworm busybox libc6
  built_by_go "$CRITEST_BIN" build_critest
}

# build_critest FOLDER: it is a test of a Go package.
build_critest() {
  (cd "$CRITEST_SOURCE" && CGO_ENABLED=0 "$GO" test -c -trimpath \
    -ldflags "-s -w -X sigs.k8s.io/cri-tools/pkg/version.Version=$CRITEST_VERSION" -o "$1/critest" sigs.k8s.io/cri-tools/cmd/critest)
}
