# For scripts that are run in the machine: a containerd of their own, and what is asked of it. Needs SHIM_DIR, CONTAINERD_2_1, NAMESPACE.
. "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
PATH=$SHIM_DIR:$CONTAINERD_2_1:$PATH

SLICE=/sys/fs/cgroup/pods.slice/pods-pod1.slice
ctr() { timeout 300 ctr --namespace "$NAMESPACE" "$@"; }

# await COMMAND...: until it succeeds; not for ever.
await() {
  local _
  for _ in $(seq 600); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  echo "  waited for in vain: $*"
  return 1
}

# begin_containerd [CONFIG]: with the images that the second disk brings; without a CONFIG for `ctr` alone.
begin_containerd() {
  cat >/tmp/containerd.toml <<'TOML'
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"]
TOML
  containerd --config "${1:-/tmp/containerd.toml}" >/tmp/containerd.log 2>&1 &
  daemon=$!
  await ctr version
  for image in "$(dirname "${BASH_SOURCE[0]}")"/images/*.tar; do ctr images import --local "$image" >/dev/null; done
}

# end_containerd: and the sum of all checks.
end_containerd() {
  kill $daemon
  wait $daemon
  [ "${checks_failed:-1}" = 0 ] || { echo "containerd's log ends with:"; tail -n 30 /tmp/containerd.log; }
  checks_result
}

property() { systemctl show --property "$2" --value "cri-$1.scope"; }
pid_of() { ctr task ls | awk -v id="$1" '$1 == id { print $2 }'; }
is_stopped() { ctr task ls | grep -q "^$1 .*STOPPED"; }
no_scope() { [ "$(property "$1" LoadState)" = not-found ] && [ ! -e "$SLICE/cri-$1.scope" ]; }

# none_has_failed: systemd collects units a moment after they have ended.
none_has_failed() { [ -z "$(systemctl list-units --failed --plain --no-legend 'cri-*')" ]; }

# end ID: kills it, and takes it away.
end() {
  ctr task kill --signal SIGKILL "$1" && await is_stopped "$1"
  ctr task delete "$1"
  ctr container delete "$1"
}
