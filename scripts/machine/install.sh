#!/bin/bash
# install.sh FOLDER SUITE MIRROR: a Debian with systemd and a kernel in FOLDER, as small as is easy. Runs in mount and pid
# namespaces of its own.
set -euo pipefail
root=$1 suite=$2 mirror=$3
here=$(cd "$(dirname "$0")" && pwd)
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

# Only in the image and while it is made: no manuals, no services started, no flushing to disk.
mkdir -p "$root"/etc/{dpkg/dpkg.cfg.d,initramfs-tools/conf.d,systemd/system}
cp "$here/dpkg.cfg" "$root/etc/dpkg/dpkg.cfg.d/machine"
debootstrap --variant=minbase --include=dbus,iproute2,kmod,procps,systemd-sysv,udev "$suite" "$root" "$mirror"

# The initrd finds the disk and nothing else.
echo "MODULES=list" >"$root/etc/initramfs-tools/conf.d/machine"
printf '%s\n' virtio_pci virtio_blk ext4 >>"$root/etc/initramfs-tools/modules"
mount -t proc proc "$root/proc"
chroot "$root" apt-get -qq install --no-install-recommends -y initramfs-tools zstd linux-image-cloud-amd64 runc
umount "$root/proc"

cp "$here/run-product.service" "$root/etc/systemd/system/"
install -m 755 "$here/run-product" "$root/usr/local/sbin/run-product"
mkdir -p "$root/product" "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../run-product.service "$root/etc/systemd/system/multi-user.target.wants/"
# What a machine that lives for minutes does not need.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
  systemd-firstboot.service getty.target systemd-journal-flush.service systemd-logind.service systemd-update-utmp.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
echo machine >"$root/etc/hostname"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
: >"$root/etc/fstab"
# Nothing is to be brought up to date at the first boot, which every boot is.
touch "$root/etc/.updated" "$root/var/.updated"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
