# shellcheck shell=bash
# The image of the installer, by Debian's buildah, without an engine and without a registry. Needs lib/common.sh,
# lib/debian.sh and lib/rust.sh.

IMAGE_PACKAGES=(buildah debootstrap)
IMAGE_BASE=localhost/debian:trixie

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

# tools_image: the stage in which the Dockerfile gets what the workspace is compiled with, on a Debian that debootstrap made. Rust is this
# machine's, which may have no way to rustup.
tools_image() {
  local work status=0
  ensure_rust
  cached image-base-trixie debian_base
  work=$(mktemp -d)
  mkdir "$work/context"
  cp -r "$ROOT/scripts" "$ROOT/rust-toolchain.toml" "$ROOT/test-images" "$work/context/"
  in_store "$work" from --name base scratch >/dev/null
  in_store "$work" add --quiet base "$CACHE/image-base-trixie/base.tar" / >/dev/null
  in_store "$work" commit --quiet base "$IMAGE_BASE" >/dev/null
  build_image "$work" localhost/tools "$work/context" --target tools --build-arg "BASE=$IMAGE_BASE" \
    --volume "$(cd "$ROOT" && rustc --print sysroot):/root/.cargo:ro" || status=$?
  rm -rf "$work"
  return $status
}

# debian_base FOLDER: a Debian as small as is easy, packed, from where this machine gets its own.
debian_base() {
  unshare --mount --pid --fork --kill-child --propagation private \
    debootstrap --variant=minbase --include=ca-certificates trixie "$1/root" "$(debian_mirror)" >"$1/debootstrap.log"
  rm -rf "$1"/root/var/cache/apt/*
  tar -C "$1/root" -cf "$1/base.tar" .
  rm -rf "$1/root"
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
