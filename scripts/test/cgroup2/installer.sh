#!/bin/bash
# In the machine: the node installer where systemd runs containerd, as on most nodes: as root there, and with no more than the chart
# gives its pod, on a node without a message bus. Needs SHIM_DIR, CONTAINERD_2_1.
set -uo pipefail
NAMESPACE=installer
. "$(dirname "$0")/containerd.sh"

# The node's own config of run-wasm is none of the installer's business here.
kept=$(mktemp -d)
mv /etc/run-wasm "$kept/"
mkdir -p /etc/containerd
cat >/etc/containerd/config.toml <<'TOML'
version = 3

[timeouts]
  "io.containerd.timeout.shim.load" = "600s"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
TOML
cp /etc/containerd/config.toml "$kept/config.toml"
cat >/etc/systemd/system/containerd.service <<UNIT
[Service]
Type=notify
Environment=PATH=$PATH
ExecStart=$CONTAINERD_2_1/containerd
TimeoutStartSec=600
Delegate=yes
KillMode=process
UNIT

node() { run-wasm-node "$@" --containerd "$CONTAINERD_2_1/containerd"; }

# without_systemds_socket COMMAND ARGUMENT...: a function of this file, where nobody answers at systemd's own socket.
without_systemds_socket() {
  export -f "${1?}"
  unshare --mount bash -c 'mount --bind /dev/null /run/systemd/private; "$@"' bash "$@"
}

# pod ARGUMENT...: the same, with the mounts, the processes and the capabilities that the chart's pod has.
pod() {
  mkdir -p /opt/run-wasm /etc/run-wasm /var/lib/run-wasm
  unshare --mount --propagation slave --pid --fork --mount-proc bash -c 'set -e
    mount --rbind / /mnt
    mount -o remount,bind,ro /mnt
    for folder in proc sys; do mount -t tmpfs -o ro tmpfs /mnt/$folder; done
    for folder in opt/run-wasm etc/run-wasm var/lib/run-wasm etc/containerd; do mount --bind /$folder /mnt/$folder; done
    exec setpriv --bounding-set -all,+sys_chroot,+chown run-wasm-node --host-root /mnt "$@"' \
    pod "$@" --containerd "$CONTAINERD_2_1/containerd"
}

daemon() { systemctl show --property MainPID --value containerd; }
state() { systemctl show --property ActiveState --value containerd; }
is() { [ "$(state)" = "$1" ]; }
witness() { ctr task ls | grep '^witness '; }
has_none_of_ours() {
  same "$(find /opt/run-wasm /etc/run-wasm /var/lib/run-wasm /etc/containerd -type f -o -type l)" /etc/containerd/config.toml &&
    cmp /etc/containerd/config.toml "$kept/config.toml"
}

# restarted BEFORE: systemd runs another containerd than BEFORE.
restarted() { is active && [ "$(daemon)" != "$1" ]; }

systemctl daemon-reload
systemctl start containerd
await ctr version
for image in sleep hello; do ctr images import --local "$(dirname "$0")/images/$image.tar" >/dev/null; done
ctr run --detach --null-io --runtime "$SHIM_DIR/containerd-shim-run-v2" localhost/sleep:1 witness /sleep.wasm 86400
running=$(witness)
check "a task runs" contains "$running" RUNNING

before=$(daemon)
check "a node whose containerd systemd runs is installed on, by the message bus" same \
  "$(without_systemds_socket node install --binaries "$SHIM_DIR")" "installed; containerd was restarted"
check "systemd has restarted it" restarted "$before"
check "the node is as it was installed" node verify
check "what is installed runs by its handler's name" same \
  "$(ctr run --rm --runtime /opt/run-wasm/current/containerd-shim-run-v2 localhost/hello:1 hello)" "hello from run-wasm"
check "a second time nothing is to be done" same "$(node install --binaries "$SHIM_DIR")" "nothing to do: the node is as it should be"

# A start lasts for as long as the task's shim stands still.
shim=$(pgrep -f '[i]d witness start')
kill -STOP "$shim"
systemctl --no-block restart containerd
check "somebody else restarts containerd" await is activating
before=$(daemon)
node uninstall --force >"$kept/out" 2>"$kept/err" &
uninstall=$!
check "whoever is to restart it waits for it" await grep "containerd may be starting" "$kept/err"
kill -CONT "$shim"
check "and goes on when it has started" wait "$uninstall"
check "the node is uninstalled" same "$(cat "$kept/out")" "uninstalled; containerd was restarted"
check "by another restart" restarted "$before"
check "the task is what it was" same "$(witness)" "$running"

systemctl stop dbus.socket dbus.service
rm -f /run/dbus/system_bus_socket
before=$(daemon)
check "from a pod, and without a bus, the node is installed on as well" same \
  "$(pod install --binaries "$SHIM_DIR")" "installed; containerd was restarted"
check "by a restart" restarted "$before"
check "the task is still what it was" same "$(witness)" "$running"
check "the pod sees that the node is as it was installed" pod verify
end witness >/dev/null
ctr images rm localhost/sleep:1 localhost/hello:1 >/dev/null
check "it is uninstalled in the same way" same "$(pod uninstall)" "uninstalled; containerd was restarted"
check "and is what it was before" has_none_of_ours

systemctl start dbus.socket
systemctl stop containerd
[ "${checks_failed:-1}" = 0 ] || journalctl --no-pager --unit containerd --lines 30
rm -rf /etc/containerd /etc/systemd/system/containerd.service
systemctl daemon-reload
rm -rf /etc/run-wasm
mv "$kept/run-wasm" /etc/
checks_result
