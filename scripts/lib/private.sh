# Daemons that believe they have the machine to themselves. Needs lib/common.sh.

# hide_shared_paths FOLDER: in a mount namespace of the caller's own, makes /run, /var/lib and /var/log empty ones that
# nobody else sees; what is written below /var lands in FOLDER. containerd, kubelet and the shims keep state at fixed
# paths there.
hide_shared_paths() {
  local path
  for path in /var/lib /var/log; do
    mkdir -p "$1$path"
    mount --bind "$1$path" "$path"
  done
  mount -t tmpfs -o mode=755 tmpfs /run
}

# outside_shared_paths FOLDER...: refuses folders that hide_shared_paths would make invisible.
outside_shared_paths() {
  local folder
  for folder in "$@"; do
    case $(realpath -m "$folder")/ in
    /run/* | /var/lib/* | /var/log/*) die "$folder lies where the daemons have private folders: choose one outside /run, /var/lib and /var/log" ;;
    esac
  done
}

# cgroup_of FOLDER: the name of the cgroup for what runs with its state in FOLDER.
cgroup_of() { echo "run-wasm-$(sha256sum <<<"$1" | cut -c 1-12)"; }

# remove_cgroup NAME: the cgroup NAME and all below it, in every hierarchy. No process may be left in them.
remove_cgroup() {
  local folder
  for folder in "/sys/fs/cgroup/$1" /sys/fs/cgroup/*/"$1"; do
    [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} +
  done
}
