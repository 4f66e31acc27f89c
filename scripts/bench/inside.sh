#!/bin/bash
# inside.sh FOLDER NAME [OPTION...]: process 1 of a measurement: hides what daemons share, runs the driver, and buries
# the orphans that shims are. When it ends, so does everything that was started.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
. "$(dirname "$0")/../lib/private.sh"
hide_shared_paths "$1"
# Beside cgroup v1 controllers this one has nothing to say, and Debian 12's crun refuses to see it there.
! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
# Not by exec: the shell is what buries.
bench-driver "$2" --folder "$1" "${@:3}"
