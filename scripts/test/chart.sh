#!/bin/bash
# chart.sh: the Helm chart before a real API server, the policy that it brings, and the image of its installer. Needs the build; brings up a
# cluster of its own and leaves nothing.
set -euo pipefail
scripts=$(cd "$(dirname "$0")/.." && pwd)
for part in common debian go helm containerd private native-image wasm-image image checks; do . "$scripts/lib/$part.sh"; done
for part in render policy metrics image install; do . "$scripts/test/chart/$part.sh"; done

chart=$ROOT/charts/run-wasm
work=$(mktemp -d)
export CLUSTER_DIR=$work/cluster HELM_CACHE_HOME=$work/helm HELM_CONFIG_HOME=$work/helm HELM_DATA_HOME=$work/helm
trap '"$scripts/cluster.sh" down; rm -rf "$work"' EXIT
kubectl() { "$scripts/cluster.sh" kubectl "$@"; }
helm() { "$HELM_BIN/helm" "$@"; }

install_packages "${IMAGE_PACKAGES[@]}"
ensure_helm
"$scripts/cluster.sh" up
await 60 kubectl get serviceaccount default

chart_is_well_formed
chart_is_consistent
chart_is_accepted
image_is_whole
policy_is_enforced
dashboard_has_real_metrics
chart_installs
checks_result
