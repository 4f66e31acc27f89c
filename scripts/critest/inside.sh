#!/bin/bash
# inside.sh FOLDER REPORTS CNI_BIN BUSYBOX [NAME...]: process 1 of a node that has containerd, a pod network and a registry, and
# runs critest with each handler, and without a NAME once more with the Wasm image FOLDER/ticker.tar. Reports and logs are in
# REPORTS, names of the containers that are left in FOLDER/left.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for part in lib/common lib/private lib/native-image critest/images; do . "$here/../$part.sh"; done
folder=$1 reports=$2 cni=$3 busybox=$4
shift 4
socket=unix:///run/containerd/containerd.sock

private_paths() {
  hide_shared_paths "$folder"
  mkdir -p "$folder"/{networks,registries/_default,tmp} /run/critest /run/cni
  mount --bind "$folder" /run/critest
  mount --bind "$cni" /run/cni
  mount --make-rshared /
}

network() {
  ip link set lo up
  echo 1 >/proc/sys/net/ipv4/ip_forward
  cp "$here/bridge.conflist" "$folder/networks/"
}

# daemon NAME COMMAND...: in the background, with its log in REPORTS.
daemon() {
  "${@:2}" >"$reports/$1.log" 2>&1 &
}

# Whatever registry is asked for is this one.
registry() {
  printf '{version: 0.1, log: {level: error}, http: {addr: "%s"}, storage: {filesystem: {rootdirectory: "%s"}}}\n' \
    "$REGISTRY" "$folder/registry" >"$folder/registry.yaml"
  printf 'server = "http://%s"\n[host."http://%s"]\n' "$REGISTRY" "$REGISTRY" >"$folder/registries/_default/hosts.toml"
  daemon registry docker-registry serve "$folder/registry.yaml"
  await 30 curl --silent --fail "http://$REGISTRY/v2/" || die "the registry does not answer: $(tail -n 3 "$reports/registry.log")"
  mkdir "$folder/image"
  layer "$busybox" "$folder/image"
  images "$folder/image"
}

containers() {
  daemon containerd containerd --config "$here/containerd.toml"
  await 30 ctr version || die "containerd does not answer: $(tail -n 3 "$reports/containerd.log")"
}

# try REPORT OPTION...: specs one after the other, in the same order each time. That some fail is for others to judge.
try() {
  TMPDIR=$folder/tmp critest --runtime-endpoint "$socket" --image-endpoint "$socket" --ginkgo.seed 1 --ginkgo.no-color \
    --ginkgo.json-report "$reports/$1.json" "${@:2}" >"$reports/$1.log" 2>&1 || true
  [ -s "$reports/$1.json" ] || die "critest has left no report: $(tail -n 3 "$reports/$1.log")"
}

# Specs that want of a container neither a shell nor a port, of which a container is told by kubelet alone.
wasm_can='basic operations on container runtime should support (creat|preserv|start|stopp|remov|list)ing|reopening container log|StopContainer'

wasm() {
  ctr --namespace k8s.io images import --local "$folder/ticker.tar" >/dev/null
  echo 'defaultTestContainerImage: localhost/ticker:1' >"$folder/wasm.yaml"
  try wasm --runtime-handler run --test-images-file "$folder/wasm.yaml" --ginkgo.focus "$wasm_can"
}

# left: its own end is that of all processes, but not of cgroups.
left() { timeout --signal KILL 10 ctr --namespace k8s.io containers ls --quiet >"$folder/left" || true; }

private_paths
network
timed "images for critest" registry
containers
trap left EXIT
for handler in run run-shared runc; do timed "critest with $handler" try "$handler" --runtime-handler "$handler" "${@/#/--ginkgo.focus=}"; done
[ $# != 0 ] || timed "critest with Wasm" wasm
