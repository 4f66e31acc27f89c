#!/bin/bash
# bare-node.sh: on a node of scripts/cluster.sh: takes the handlers out of its containerd's config, gives it an /etc and an /opt of its own, and restarts its
# containerd when it is asked to by /run/cluster/restarts: what systemd does elsewhere. Runs until the node ends.
set -euo pipefail
cd /run/cluster

# As elsewhere, where the folders are the node's own.
mkdir -p own/upper own/work
mount -t overlay overlay -o "lowerdir=/etc,upperdir=/run/cluster/own/upper,workdir=/run/cluster/own/work" /etc
mount -t tmpfs tmpfs /opt

awk '/^ *\[/ { ours = /runtimes\.run(-|\]|\.)/ } !ours' etc/containerd.toml >etc/containerd.bare
mv etc/containerd.bare etc/containerd.toml

# The node starts again what has ended.
restart() {
  local old
  # What it has just forked is called so, too.
  old=$(pgrep --oldest --exact containerd)
  kill -TERM "$old"
  tail --sleep-interval=0.1 --pid="$old" -f /dev/null
  until ctr version >/dev/null 2>&1; do sleep 0.1; done
}

restart
# Whoever wants it writes to the one, and reads the end of it from the other.
mkfifo restarts restarted
touch restarter
while read -r _ <restarts; do
  restart
  echo restarted >restarted
done
