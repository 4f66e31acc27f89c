# A Go that can build Kubernetes. Needs lib/common.sh and lib/debian.sh.

GO_NEEDED=1.26

# ensure_go: sets GO, the program to call: the machine's own where it is new enough, else Debian's in the cache.
ensure_go() {
  local found
  GO=$(command -v go || true)
  if [ -n "$GO" ]; then
    found=$(GOTOOLCHAIN=local go env GOVERSION)
    at_least "${found#go}" "$GO_NEEDED" && return
    say "$GO is ${found#go}, older than the $GO_NEEDED that Kubernetes needs"
  fi
  cached "go-$GO_NEEDED" unpack_from_debian forky "golang-$GO_NEEDED-go" "golang-$GO_NEEDED-src"
  GO=$CACHE/go-$GO_NEEDED/usr/lib/go-$GO_NEEDED/bin/go
  "$GO" version >&2 || die "the Go in $CACHE/go-$GO_NEEDED does not run: install Go $GO_NEEDED or newer by hand, put it on PATH"
}

# built_by_go FOLDER BUILD: FOLDER of the cache is there. Where it is not, BUILD fills it, which may call $GO.
built_by_go() {
  [ -d "$1" ] && return
  ensure_go
  cached "$(basename "$1")" "$2"
}
