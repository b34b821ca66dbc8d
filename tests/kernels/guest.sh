#!/bin/bash
# PID 1 of a virtual machine of scripts/kernels: a Debian with its own kernel and cgroup v2 alone. Runs suite.sh and then test programs of
# the project, in which CALLER calls agentbox; what they say goes to the second serial port, and the last line there is the status.
exec </dev/null >/dev/ttyS1 2>&1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
busybox ip link set lo up
hostname kernels
here=/agentbox-kernels
. $here/settings
[[ $caller == root ]] || id "$caller" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$caller"

# Delegated as systemd does it: the user may make groups beside the one that it is in.
root=/sys/fs/cgroup
echo '+memory +pids +cpu' >$root/cgroup.subtree_control
mkdir -p $root/user/session
echo '+memory +pids +cpu' >$root/user/cgroup.subtree_control
chown "$caller" $root/user $root/user/{cgroup.procs,cgroup.subtree_control} $root/user/session{,/cgroup.procs}

# as_caller SCRIPT [ARG...]
as_caller() (
    echo $BASHPID >$root/user/session/cgroup.procs
    if [[ $caller == root ]]; then
        exec bash "$here/$@"
    else
        exec setpriv "--reuid=$caller" "--regid=$caller" --clear-groups env HOME="/home/$caller" USER="$caller" bash "$here/$@"
    fi
)
if [[ -n ${reboot:-} ]]; then
    # The second time it is the same disk.
    [[ -e /notes ]] && when=after || when=before
    mkdir -p /notes && chown "$caller" /notes
    status=0
    as_caller reboot.sh $when || status=1
    echo "agentbox-kernels: $status"
    # What was said is on its way through the port. Then no farewell to anybody.
    sleep 1
    echo b >/proc/sysrq-trigger
fi

status=0
as_caller suite.sh || status=1

cd "$checkout" || exit
export AGENTBOX_TEST_SKIPS=/run/skips RUST_BACKTRACE=0
[[ $caller == root ]] || export AGENTBOX_TEST_USER=$caller
# Where nothing starts by itself the programs have nothing to ask.
((abi >= 2)) || : >$here/programs
while read -r program; do
    begun=$SECONDS bad=0
    timeout 200 "$program" --test-threads=2 >/run/log 2>&1 || bad=$?
    # As cargo names it, without the hash.
    name=$(basename "$program")
    echo "$(grep -a '^test result: ' /run/log || echo "test result: FAILED. 0 passed; 1 failed; 0 ignored") (${name%-*} in $((SECONDS - begun)) s)"
    ((bad == 0)) || grep -av -e '^test .* ok$' -e '^SKIP ' -e '^running ' -e '^test result' -e '^$' /run/log | cut -c1-1000
    ((bad == 0)) || status=1
done <$here/programs
[[ ! -e /run/skips ]] || sort -u /run/skips
echo "agentbox-kernels: $status"
sync
busybox poweroff -f
