# shellcheck shell=bash
# CoreDNS, the name server of a cluster, built from its Go module. Needs lib/common.sh, lib/debian.sh and lib/go.sh.

COREDNS_SOURCE=$ROOT/scripts/cluster/coredns
# The hash stands for all that it is built from.
COREDNS_BIN=$CACHE/coredns-$(cat "$COREDNS_SOURCE"/{main.go,go.mod,go.sum} | sha256sum | cut -c 1-8)

# ensure_coredns: it is there. The first time takes about two minutes of one processor.
ensure_coredns() { built_by_go "$COREDNS_BIN" build_coredns; }

# build_coredns FOLDER: on one processor and with low priority, because it runs beside other work.
build_coredns() {
  (cd "$COREDNS_SOURCE" && GOMAXPROCS=1 CGO_ENABLED=0 nice "$GO" build -p 1 -trimpath -buildvcs=false -ldflags "-s -w" -o "$1/coredns" .)
}
