# shellcheck shell=bash
# helm, which installs charts. Needs lib/common.sh, lib/debian.sh and lib/go.sh.

HELM_SOURCE=$ROOT/scripts/helm
HELM_VERSION=$(awk '$1 == "helm.sh/helm/v4" { print $2 }' "$HELM_SOURCE/go.mod")
# The hash stands for all that it is built from.
HELM_BIN=$CACHE/helm-$(cat "$HELM_SOURCE"/{go.mod,go.sum} | sha256sum | cut -c 1-8)

# ensure_helm: it is there. The first time takes about two minutes of one processor.
ensure_helm() { built_by_go "$HELM_BIN" build_helm; }

# build_helm FOLDER
build_helm() {
  local flags="-s -w -X helm.sh/helm/v4/internal/version.version=$HELM_VERSION"
  (cd "$HELM_SOURCE" && CGO_ENABLED=0 "$GO" build -p 1 -trimpath -buildvcs=false -ldflags "$flags" -o "$1/" helm.sh/helm/v4/cmd/helm)
}
