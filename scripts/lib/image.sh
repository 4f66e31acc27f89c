# shellcheck shell=bash
# The image of the installer, by Debian's buildah, without an engine and without a registry. Needs lib/common.sh and lib/debian.sh.

IMAGE_PACKAGES=(buildah)

# node_image NAME PROGRAMS TAR: the image called NAME with the programs in the folder PROGRAMS, packed for `ctr images import`.
node_image() {
  local name=$1 programs=$2 tar=$3 work architecture
  work=$(mktemp -d)
  architecture=$(dpkg --print-architecture)
  mkdir -p "$work/context/prebuilt/$architecture" "$work/context/test-images/wat"
  cp "$programs"/{run-wasm-node,containerd-shim-run-v2,run-wasm} "$work/context/prebuilt/$architecture/"
  strip "$work/context/prebuilt/$architecture"/*
  cp "$ROOT/test-images/wat/hello.wat" "$work/context/test-images/wat/"
  build_image "$work" "$name" "$work/context" --target prebuilt --build-arg "TARGETARCH=$architecture"
  in_store "$work" push --quiet "$name" "docker-archive:$tar:$name"
  rm -rf "$work"
}

# build_image WORK NAME CONTEXT OPTION...: with the store in the folder WORK.
build_image() { in_store "$1" build --quiet --isolation chroot --layers=false --file "$ROOT/Dockerfile" --tag "$2" "${@:4}" "$3"; }

# in_store WORK ARGUMENT...: buildah with storage of its own, which no configuration of the machine reaches.
in_store() {
  local work=$1
  shift
  echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"
  buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs --signature-policy "$work/policy.json" "$@"
}
