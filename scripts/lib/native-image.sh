# Images of one static program, for the native containers that tests put beside Wasm. Needs lib/common.sh.

# native_image NAME PROGRAM TAR: an OCI image called NAME that runs PROGRAM, as /bin/<its name>, packed for
# `ctr images import`.
native_image() {
  local name=$1 program=$2 tar=$3 work layer config manifest
  work=$(mktemp -d)
  mkdir -p "$work"/{root/bin,oci/blobs/sha256}
  cp "$program" "$work/root/bin/"
  tar -C "$work/root" --owner 0 --group 0 -cf "$work/layer.tar" bin
  layer=$(sha256sum "$work/layer.tar" | cut -d ' ' -f 1)
  jq -n --arg program "/bin/$(basename "$program")" --arg layer "sha256:$layer" '{
    architecture: "amd64", os: "linux", config: {Entrypoint: [$program]},
    rootfs: {type: "layers", diff_ids: [$layer]}}' >"$work/config"
  config=$(descriptor "$work/config" application/vnd.oci.image.config.v1+json)
  jq -n --argjson config "$config" --argjson layer "$(descriptor "$work/layer.tar" application/vnd.oci.image.layer.v1.tar)" '{
    schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: $config, layers: [$layer]}' >"$work/manifest"
  manifest=$(descriptor "$work/manifest" application/vnd.oci.image.manifest.v1+json)
  jq -n --arg name "$name" --argjson manifest "$manifest" '{
    schemaVersion: 2, manifests: [$manifest + {annotations: {"io.containerd.image.name": $name}}]}' >"$work/oci/index.json"
  echo '{"imageLayoutVersion":"1.0.0"}' >"$work/oci/oci-layout"
  for file in layer.tar config manifest; do
    mv "$work/$file" "$work/oci/blobs/sha256/$(sha256sum "$work/$file" | cut -d ' ' -f 1)"
  done
  tar -C "$work/oci" -cf "$tar" .
  rm -rf "$work"
}

# descriptor FILE TYPE: how an OCI document refers to FILE.
descriptor() {
  printf '{"mediaType":"%s","digest":"sha256:%s","size":%d}' "$2" "$(sha256sum "$1" | cut -d ' ' -f 1)" "$(stat -c %s "$1")"
}
