#!/bin/bash
# chart.sh [PART...]: the Helm chart before a real API server, and on a real node. Needs the build and the guests; brings up a cluster of its
# own and leaves nothing. Without arguments all parts, in this order:
#   render    what it renders, what its schema refuses, what the API server takes
#   image     the installer's image
#   policy    which pods the policy admits
#   metrics   that the dashboard asks for metrics that there are
#   install   helm install, test, upgrade and uninstall
set -euo pipefail
scripts=$(cd "$(dirname "$0")/.." && pwd)
for part in common debian rust go helm containerd private native-image wasm-image image checks; do . "$scripts/lib/$part.sh"; done
parts=(render image policy metrics install)
for part in "${parts[@]}"; do . "$scripts/test/chart/$part.sh"; done

for part in "$@"; do
  [[ " ${parts[*]} " == *" $part "* ]] || die "there is no part \"$part\": choose from ${parts[*]}"
done
[ $# = 0 ] || parts=("$@")

chart=$ROOT/charts/run-wasm
work=$(mktemp -d)
export CLUSTER_DIR=$work/cluster HELM_CACHE_HOME=$work/helm HELM_CONFIG_HOME=$work/helm HELM_DATA_HOME=$work/helm
trap '"$scripts/cluster.sh" down; rm -rf "$work"' EXIT
kubectl() { "$scripts/cluster.sh" kubectl "$@"; }
helm() { "$HELM_BIN/helm" "$@"; }

install_packages "${IMAGE_PACKAGES[@]}"
ensure_helm
"$scripts/cluster.sh" up
# The chart brings its own.
kubectl delete runtimeclass run-wasm run-wasm-shared
for part in "${parts[@]}"; do "part_$part"; done
checks_result
