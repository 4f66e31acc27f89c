# shellcheck shell=bash
# The image of the installer: built without an engine, looked into, and run. For chart.sh, which sets what is not set here.
# shellcheck disable=SC2154

IMAGE=localhost/run-wasm:test

# image_config FILTER: what jq's FILTER says of the image's config.
image_config() { jq --compact-output --raw-output "$1" "$work/unpacked/$(jq -r '.[0].Config' "$work/unpacked/manifest.json")"; }

# image_files: what is in it, over all layers.
image_files() {
  local layer
  jq -r '.[0].Layers[]' "$work/unpacked/manifest.json" | while read -r layer; do tar -tf "$work/unpacked/$layer"; done | grep -v '/$' | sort
}

# needs_no_library: no program in the image names an interpreter that would load libraries.
needs_no_library() {
  local layer program
  mkdir -p "$work/files"
  for layer in $(jq -r '.[0].Layers[]' "$work/unpacked/manifest.json"); do tar -C "$work/files" -xf "$work/unpacked/$layer"; done
  for program in "$work"/files/usr/local/bin/*; do
    ! readelf --program-headers "$program" | grep INTERP || { echo "  $program does"; return 1; }
  done
}

# prints POD TEXT: the pod ends well and its log has TEXT.
prints() {
  await 60 pod_has_ended "$1" || { kubectl describe pod "$1"; return 1; }
  contains "$(kubectl logs "$1")" "$2" && same "$(kubectl get pod "$1" -o 'jsonpath={.status.phase}')" Succeeded
}
pod_has_ended() { [[ $(kubectl get pod "$1" -o 'jsonpath={.status.phase}') =~ Succeeded|Failed ]]; }

# with_image: the node has it.
with_image() {
  [ -e "$work/image.tar" ] || timed image node_image "$IMAGE" "$BUILT" "$work/image.tar" || return
  "$scripts/cluster.sh" import "$work/image.tar"
}

part_image() {
  check "a Debian with nothing in it gets what the programs are compiled with" tools_image
  check "the image is built" with_image
  mkdir "$work/unpacked"
  tar -C "$work/unpacked" -xf "$work/image.tar"
  check "three programs and a test are in it, and nothing else" same "$(image_files)" \
    "$(printf '%s\n' hello.wat usr/local/bin/containerd-shim-run-v2 usr/local/bin/run-wasm usr/local/bin/run-wasm-node)"
  check "its programs need no library" needs_no_library
  check "it starts the installer" same "$(image_config .config.Entrypoint)" '["run-wasm-node"]'
  check "it says what it is" same "$(image_config '.config.Labels["org.opencontainers.image.version"]')" "$(helm show chart "$chart" | sed -n 's/^appVersion: //p')"
  check "and for which machine" same "$(image_config '.os + "/" + .architecture')" "linux/$(dpkg --print-architecture)"

  kubectl run installer --image "$IMAGE" --image-pull-policy Never --restart Never --overrides \
    '{"spec": {"containers": [{"name": "installer", "image": "'"$IMAGE"'", "args": ["--version"], "imagePullPolicy": "Never", "securityContext": {"readOnlyRootFilesystem": true, "runAsUser": 65532}}]}}'
  check "it runs, without rights and with nothing to write to" prints installer run-wasm
}
