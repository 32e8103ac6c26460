#!/bin/busybox sh
# The guest's first process: mounts what a program expects, runs /command (or a shell), reports, and ends the machine.
# The lines that begin with @gotrace are read by xtask/src/vm/boot.rs.
/bin/busybox mkdir -p /bin /sbin /usr/bin /usr/sbin /proc /sys /dev /tmp /root /run /var/tmp
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin:/sbin:/usr/sbin HOME=/root TERM=vt100 LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
chmod 1777 /tmp
ln -sf /proc/self/fd /dev/fd
ifconfig lo 127.0.0.1 up
hostname gotrace-vm
insmod /lib/unix_diag.ko
# The console carries the command's output; the kernel's own is asked for at the end.
dmesg -n 1
cd /root

if [ ! -e /command ]; then
    setsid cttyhack sh -l
    poweroff -f
fi

stty -onlcr </dev/console
echo "gotrace: the command starts" >/dev/kmsg
echo "@gotrace begin"
sh /command </dev/null
code=$?
echo
dmesg | sed '1,/gotrace: the command starts/d' |
    grep -E 'WARNING|BUG|Oops|panic|uprobe|general protection|Call Trace|stall|hung task|segfault' |
    head -n 40 | sed 's/^/@gotrace kernel /'
echo "@gotrace exit $code"
sync
poweroff -f
