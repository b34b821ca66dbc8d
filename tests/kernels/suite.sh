#!/bin/bash
# Runs in a virtual machine of scripts/kernels, as its caller and in a delegated cgroup v2: what a kernel of this age can do, that `agentbox check`
# says so, and limits of a whole box by the real thing. One line each, "ok" or "FAIL"; ends with 1 if one failed.
here=/agentbox-kernels
. $here/settings
failed=0
ok() { echo "ok   $1"; }
fail() {
    failed=1
    echo "FAIL $1"
    [[ $# -lt 2 ]] || sed 's/^/| /' <<<"$2" | head -n 12
}
# expect TITLE WANTED FOUND
expect() { if [[ $2 == "$3" ]]; then ok "$1"; else fail "$1" "$3, not $2"; fi; }
# says TITLE STATUS WORDS COMMAND...: ends with that status and says that.
says() {
    local title=$1 status=$2 words=$3 said found=0
    shift 3
    said=$("$@" 2>&1) || found=$?
    if [[ $found == "$status" && $said == *"$words"* ]]; then ok "$title"; else fail "$title: $found, not $status and '$words'" "$said"; fi
}
until_true() {
    local i
    for ((i = 0; i < 400; i++)); do
        if "$@"; then return 0; fi
        sleep 0.05
    done
    return 1
}
# before VERSION: is this kernel older?
before() { [[ $(printf '%s\n' "$1" "$(uname -r)" | sort -V | head -n 1) != "$1" ]]; }
# What is said of each run; nothing where all can be had.
always=()
run() { "$agentbox" run "${always[@]}" "$@"; }

echo "--- $(uname -sr), Landlock ABI $abi, as $(id -un)"
mkdir -p "$HOME/work/src"
cd "$HOME/work" || exit 2

# --- what a default run needs -----------------------------------------------------------------------------------------------
found=$("$agentbox" check 2>&1)
status=$?
if ((abi < 2)); then
    why='Landlock ABI 1; at least 2 (Linux 5.19) is needed'
    expect 'check: no default run is possible' 1 $status
    says "check: $why" 0 "$why" echo "$found"
    says 'nothing starts' 125 "$why" run --net none -- touch ran
    [[ ! -e ran ]] && ok 'and nothing ran' || fail 'and nothing ran'
    always=(--allow-missing landlock)
    says 'unless it is said' 7 'layer landlock does not hold' run --net none -- sh -c 'exit 7'
    mkdir -p "$HOME/.aws" && echo secret >"$HOME/.aws/credentials"
    says 'the view holds' 1 'No such file' run -q --net none -- cat "$HOME/.aws/credentials"
    says 'and shows what is granted' 0 'x' run -q --net none -- sh -c 'echo x >shown; cat shown'
    says 'the filter holds' 1 'Operation not permitted' run -q --net none -- unshare -U true
    says 'nobody looks into init' 1 'Permission denied' run -q --net none -- cat /proc/1/environ
    says 'nor writes what is shown' 2 'Read-only file system' run -q --net none -- sh -c 'echo x >/etc/passwd'
    # What this ABI denies in any case, and why it will not do.
    says 'a file is renamed into another directory' 0 '' run -q --net none -- sh -c 'mkdir a b; echo x >a/f; mv a/f b/f; ln b/f a/g'
else
    expect 'check: a default run is possible' 0 $status
fi
for words in 'all can be had: the rung `full`' 'cgroup v2 /sys/fs/cgroup/user (memory, pids, cpu)' "V$abi, "; do
    ((abi < 2)) || says "check: $words" 0 "$words" echo "$found"
done
for mode in none filtered; do
    says "a run with --net $mode" 7 '' run --net $mode -- sh -c 'exit 7'
done
for program in claude codex; do
    says "the profile $program" 7 '' run -p $program -- sh -c 'exit 7'
done
if ((abi < 2)); then
    says 'a run with --net host' 7 '' run --net host -- sh -c 'exit 7'
elif ((abi < 6)); then
    says 'check says no to the network of the host' 0 'scopes need ABI 6' echo "$found"
    says 'a run with --net host is refused' 125 'scopes need ABI 6' run --net host -- touch ran
    [[ ! -e ran ]] && ok 'and nothing ran' || fail 'and nothing ran'
    says 'unless it is said' 7 'layer landlock does not hold in full' run --net host --allow-missing landlock -- sh -c 'exit 7'
    says 'and what this ABI has still holds' 0 EACCES run -q --net host --allow-missing landlock --read "$(dirname "$probe")" -- "$probe" read /proc/1/environ
else
    says 'a run with --net host' 7 '' run --net host -- sh -c 'exit 7'
fi

# --- file systems -------------------------------------------------------------------------------------------------------------
if [[ $(id -u) == 0 ]]; then
    mkdir -p /mnt/tmpfs
    mount -t tmpfs tmpfs /mnt/tmpfs
    cd /mnt/tmpfs || exit 2
    if before 6.3; then
        says 'a tmpfs cannot be id-mapped, and that is said' 125 'cannot be id-mapped' run --net none -- true
    else
        says 'a tmpfs can be id-mapped' 0 '' run --net none -- true
    fi
    says 'nor needs it be' 0 '' run --net none --allow-missing identity -- sh -c 'echo x >file'
    mount -t tmpfs tmpfs /tmp
    cd "$HOME/work" || exit 2
    # On the oldest kernel the answer is no, for another reason.
    says 'a tmpfs at /tmp does not matter' $((abi < 2)) 'all can be had: the rung `full`' "$agentbox" check
    says 'nor to a run' 0 '' run --net none -- touch /tmp/x
    umount /tmp /mnt/tmpfs
fi

# --- cgroup v2 --------------------------------------------------------------------------------------------------------------
groups=/sys/fs/cgroup/user
group_of() { echo $groups/agentbox-*; }
none_left() { [[ ! -e $(group_of) ]]; }
says 'a program that fits' 0 '' run -q --net none --limit memory=200MiB -- python3 -c 'x = bytearray(50 << 20)'
says 'one that takes too much memory' 137 'out of memory' run --net none --limit memory=200MiB -- python3 -c 'x = bytearray(500 << 20)'
says 'so do several that fit one by one' 137 'out of memory' run --net none --limit memory=200MiB -- \
    sh -c 'for i in 1 2 3 4 5 6 7 8; do python3 -c "x = bytearray(50 << 20); import time; time.sleep(20)" & done; wait'
reach=(--read "$(dirname "$probe")")
count() { grep -o '"count":[0-9]*' <<<"$1" | cut -d: -f2; }
said=$(run -q --net none "${reach[@]}" -- "$probe" fork-bomb 100)
expect 'a hundred processes' 100 "$(count "$said")"
said=$(run -q --net none --limit processes=40 "${reach[@]}" -- "$probe" fork-bomb 100)
if (($(count "$said") < 40)) && [[ $said == *"\"errno\":11"* ]]; then ok 'forty and no more'; else fail 'forty and no more' "$said"; fi
until_true none_left && ok 'no group is left' || fail 'no group is left' "$(ls $groups)"

run -q --net none --limit memory=123MiB --limit cpu=1 -- sh -c 'echo $AGENTBOX_SESSION >up.new; mv up.new up
    until [ -e halt ]; do echo >>ticks; sleep 0.05; done; exit 5' &
box=$!
until_true test -e ticks
group=$(group_of)
expect 'memory.max' $((123 << 20)) "$(<"$group/memory.max")"
expect 'cpu.max' '100000 100000' "$(<"$group/cpu.max")"
is_init() { grep -qx agentbox-init "/proc/$1/comm"; }
is_init "$(head -n 1 "$group/cgroup.procs")" && ok 'init is in it' || fail 'init is in it' "$(<"$group/cgroup.procs")"
says 'pause' 0 '' "$agentbox" pause "$(<up)"
expect 'the group is frozen' 1 "$(<"$group/cgroup.freeze")"
grep -qx 'frozen 1' "$group/cgroup.events" && ok 'all of it' || fail 'all of it' "$(<"$group/cgroup.events")"
one=$(wc -c <ticks) && sleep 0.5
expect 'nothing moves' "$one" "$(wc -c <ticks)"
says 'resume' 0 '' "$agentbox" resume "$(<up)"
moves() { (($(wc -c <ticks) > one)); }
until_true moves && ok 'it moves again' || fail 'it moves again'
touch halt
wait $box
expect 'it ends as its command' 5 $?
until_true none_left && ok 'no group is left' || fail 'no group is left' "$(ls $groups)"

# A frozen box and one that forks without end die by one write to cgroup.kill.
for script in 'until [ -e halt ]; do sleep 0.05; done' 'bomb() { bomb | bomb & }; bomb; sleep 600'; do
    rm -f up ticks halt
    run -q --net none --limit processes=60 -- sh -c "echo \$AGENTBOX_SESSION >up.new; mv up.new up; $script" 2>/dev/null &
    box=$!
    until_true test -e up
    [[ $script == bomb* ]] || "$agentbox" pause "$(<up)"
    says "kill: ${script%%[ (]*}" 0 '' "$agentbox" kill "$(<up)"
    wait $box
    expect 'is told by its status' 137 $?
    until_true none_left && ok 'no group is left' || fail 'no group is left' "$(ls $groups)"
done

# A supervisor that was killed takes the box with it; the group goes with the next start.
rm -f up
run -q --net none -- sh -c 'echo $AGENTBOX_SESSION >up.new; mv up.new up; sleep 4242' &
box=$!
until_true test -e up
for comm in /proc/[0-9]*/comm; do
    [[ $(<"$comm") != agentbox-super ]] || kill -KILL "$(cut -d/ -f3 <<<"$comm")"
done 2>/dev/null
wait $box
alone() { [[ $(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ') != *'sleep 4242'* ]]; }
until_true alone && ok 'without its supervisor nothing lives' || fail 'without its supervisor nothing lives'
run -q --net none -- true
until_true none_left && ok 'the next start clears its group away' || fail 'the next start clears its group away' "$(ls $groups)"
exit $failed
