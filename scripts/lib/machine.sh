# A virtual machine with the unified cgroup hierarchy and systemd, for machines that have neither: Debian under QEMU, its
# processors emulated, so that it needs nothing of the hardware. Needs lib/common.sh and lib/debian.sh.

MACHINE_PACKAGES=(debootstrap e2fsprogs qemu-system-x86 util-linux)
MACHINE_SOURCE=$ROOT/scripts/machine
MACHINE_SUITE=trixie
# The hash stands for how it is installed.
MACHINE_NAME=machine-$MACHINE_SUITE-$(cat "$MACHINE_SOURCE"/* | sha256sum | cut -c 1-8)
MACHINE=$CACHE/$MACHINE_NAME

# ensure_machine: $MACHINE holds disk.ext4, vmlinuz and initrd. The first time takes about two minutes.
ensure_machine() {
  install_packages "${MACHINE_PACKAGES[@]}"
  cached "$MACHINE_NAME" build_machine
}

# build_machine FOLDER: the system is made in a folder, in which its own package manager runs, and packed without having
# been booted.
build_machine() {
  local folder=$1 root=$1/root
  # What runs in there has no mounts of its own to leave behind, and sees no process of this machine's.
  unshare --mount --pid --fork --kill-child --propagation private \
    bash "$MACHINE_SOURCE/install.sh" "$root" "$MACHINE_SUITE" "$(debian_mirror)" >"$folder/install.log" 2>&1 || {
    tail -30 "$folder/install.log" >&2
    die "the system of the virtual machine could not be installed"
  }
  mv "$root"/boot/vmlinuz-* "$folder/vmlinuz"
  mv "$root"/boot/initrd.img-* "$folder/initrd"
  pack_disk "$root" "$folder/disk.ext4" 256
  rm -rf "$root"
}

# pack_disk FOLDER FILE SPARE: an ext4 file system of what FOLDER holds, with SPARE MiB left.
pack_disk() {
  local size
  size=$(du -s --block-size 1M --apparent-size "$1" | cut -f 1)
  truncate -s "$((size * 5 / 4 + $3))M" "$2"
  mkfs.ext4 -q -d "$1" -O ^has_journal -m 0 "$2"
}

# boot_machine PRODUCT CONSOLE OUTPUT SECONDS: boots with the disk PRODUCT beside its own, and runs the program `run` that
# is on it. CONSOLE gets what the kernel and systemd say, OUTPUT what `run` prints. Ends as `run` does; when the machine
# has not ended after SECONDS, it is killed. Nothing that it writes stays.
boot_machine() {
  local product=$1 console=$2 output=$3 seconds=$4 status=0
  : >"$output"
  # Both end with this shell, however it ends. Without cx16, which Debian 12's QEMU 7.2 emulates wrongly where a page
  # fault interrupts it (the flags are lost, and the kernel's allocator with them): later ones do not, and are not needed.
  # One thread for both processors, although that takes twice as long: with two, the kernel panicked once in a dozen runs, one byte into a
  # jump that it had just patched, as if one processor had still run what the other had replaced.
  setpriv --pdeathsig KILL timeout --foreground --signal KILL "$seconds" \
    setpriv --pdeathsig KILL qemu-system-x86_64 -machine q35 -nodefaults -no-user-config \
    -accel tcg,thread=single,tb-size=512 -cpu max,-cx16 -smp 2 -m 2048 -display none -no-reboot -nic none -device virtio-rng-pci \
    -kernel "$MACHINE/vmlinuz" -initrd "$MACHINE/initrd" \
    -append "root=/dev/vda rw console=ttyS0 panic=-1 mitigations=off quiet systemd.show_status=auto" \
    -drive "file=$MACHINE/disk.ext4,format=raw,if=virtio,snapshot=on" \
    -drive "file=$product,format=raw,if=virtio,readonly=on" \
    -serial "file:$console" -serial "file:$output" </dev/null &
  wait $! || status=$?
  [ "$status" = 0 ] || return "$status"
  status=$(sed -n 's/^the run ended with \([0-9]*\)\r*$/\1/p' "$output" | tail -1)
  return "${status:-1}"
}
