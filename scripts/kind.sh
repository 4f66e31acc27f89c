#!/bin/bash
# kind.sh COMMAND: run-wasm in a cluster of kind, for machines with Docker, kind, kubectl and helm.
#   up      make the cluster and the image, install the chart, run a Wasm pod, look at its log
#   down    delete the cluster
# Environment:
#   IMAGE   an image of the installer that Docker has, in place of one that is compiled here
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for part in common try; do . "$here/lib/$part.sh"; done

up() {
  needs_programs docker kind kubectl helm
  try_image
  kind get clusters | grep -qx "$TRY_NAME" || kind create cluster --name "$TRY_NAME" --wait 180s
  kind load docker-image --name "$TRY_NAME" "$TRY_IMAGE"
  try_chart "kind-$TRY_NAME"
}

down() {
  needs_programs docker kind
  kind delete cluster --name "$TRY_NAME"
}

case ${1:-} in
up | down) "$1" ;;
*) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;;
esac
