#!/bin/bash
# k3d.sh COMMAND: run-wasm in a cluster of k3d, for machines with Docker, k3d, kubectl and helm.
#   up      make the image and the cluster, install the chart, run a Wasm pod, look at its log
#   down    delete the cluster
# Environment:
#   IMAGE       an image of the installer that Docker has, in place of one that is compiled here
#   K3S_IMAGE   the nodes' image
# A node of k3d is a container whose process 1 is k3s: what restarts containerd there ends all of its pods, the installer with them. So its
# nodes are born with run-wasm, and the chart leaves them alone (installer.enabled=false).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for part in common try; do . "$here/lib/$part.sh"; done
folder=${TMPDIR:-/tmp}/run-wasm-k3d

up() {
  needs_programs docker k3d kubectl helm
  try_image
  if ! k3d cluster get "$TRY_NAME" >/dev/null 2>&1; then
    node_files
    # By its own default, a k3d that `go install` has built makes nodes of k3s 1.21.
    k3d cluster create "$TRY_NAME" --image "${K3S_IMAGE:-rancher/k3s:v1.33.4-k3s1}" --wait --timeout 180s --volume "$folder/programs:/opt/run-wasm/current@all" \
      --volume "$folder/config-v3.toml.tmpl:/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl@all"
  fi
  k3d image import --cluster "$TRY_NAME" "$TRY_IMAGE"
  try_chart "k3d-$TRY_NAME" --set installer.enabled=false
}

# node_files: what the installer would put on a node: the programs of the image, and containerd's config as k3s renders it, with ours.
node_files() {
  local container
  rm -rf "$folder"
  mkdir -p "$folder"
  container=$(docker create "$TRY_IMAGE")
  docker cp "$container:/usr/local/bin" "$folder/programs"
  docker rm "$container" >/dev/null
  {
    echo '{{ template "base" . }}'
    runtime run
    runtime run-shared
    echo "  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.run-shared.options]"
    echo '    modes = ["shared", "normal"]'
  } >"$folder/config-v3.toml.tmpl"
}

# runtime HANDLER: its table.
runtime() {
  cat <<TOML

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.$1]
  runtime_type = "io.containerd.run.v2"
  runtime_path = "/opt/run-wasm/current/containerd-shim-run-v2"
  pod_annotations = ["run.wasm/*"]
  container_annotations = ["io.kubernetes.container.*", "run.wasm/*"]
TOML
}

down() {
  needs_programs docker k3d
  k3d cluster delete "$TRY_NAME"
  rm -rf "$folder"
}

case ${1:-} in
up | down) "$1" ;;
*) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;;
esac
