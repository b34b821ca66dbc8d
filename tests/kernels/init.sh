#!/bin/busybox sh
# The initramfs of scripts/kernels: finds the disks and hands over to guest.sh.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*; do [ ! -e "$module" ] || $b insmod "$module"; done
disk=/dev/vd
[ -e /dev/vda ] || disk=/dev/sd
if $b mount -t ext4 ${disk}a /mnt && $b tar -C /mnt -xf ${disk}b; then
    $b mount --move /dev /mnt/dev
    $b umount /sys
    $b umount /proc
    exec $b switch_root /mnt /agentbox-kernels/guest.sh
fi
$b poweroff -f
