#!/bin/sh
# Runs in a container (a chroot, a host) that scripts/engines made, as its first process: `suite.sh RUNG`. Checks that `agentbox check`
# predicts the rung, and that a box on it keeps out what the container holds, each denial beside its twin: outside the same can
# be had, and inside what is granted can. One line each, "ok", "FAIL" or "SKIP"; ends with 1 if one failed.
set -u
rung=$1
here=/opt/agentbox
agentbox=$here/agentbox probe=$here/probe busybox=$here/busybox
failed=0
ok() { echo "ok   $1"; }
fail() {
    failed=1
    echo "FAIL $1"
    [ $# -lt 2 ] || printf '%s\n' "$2" | sed 's/^/| /'
}
# expect TITLE WANTED FOUND
expect() { if [ "$2" = "$3" ]; then ok "$1"; else fail "$1" "$3, not $2"; fi; }

if [ "$rung" = none ]; then
    # Without /proc there is nothing to find processes by.
    mkdir -p "$HOME/work" && cd "$HOME/work" || exit 2
    json=$("$agentbox" check --json 2>&1)
    expect 'check says no' 1 $?
    case $json in *'"rung": null'*) ok 'check predicts no rung' ;; *) fail 'check predicts no rung' "$json" ;; esac
    for option in full container-proc landlock; do
        said=$("$agentbox" run --rung $option --net none -- touch ran 2>&1)
        expect "--rung $option is refused" 125 $?
        case $said in *'mount -t proc'*) ok 'and says what to do' ;; *) fail 'and says what to do' "$said" ;; esac
    done
    [ ! -e ran ] && ok 'nothing ran' || fail 'nothing ran'
    exit $failed
fi

# --- the container's world: it was mounted, and the entrypoint's environment has a secret --------------------------------
cd "$HOME" || exit 2
work=$HOME/work
mkdir -p "$work/src" "$HOME/tmp"
# Assembled, so that this text and the boxes' command lines do not have it.
secret=hunter2-of-the-$(echo entrypoint)
case ${ENTRY_TOKEN-} in "$secret") ok 'the entrypoint has its secret' ;; *) fail 'the entrypoint has its secret' ;; esac
echo "$secret" >"$work/.env"
echo 'int main;' >"$work/src/main.c"
cd "$work" || exit 2
"$busybox" httpd -f -p 127.0.0.1:8080 -h "$here/www" &
server=$!
BESIDE=$secret "$busybox" sleep 1000 &
beside=$!
perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) && bind(S, pack_sockaddr_un("\0agentbox-engines")) && listen(S, 9) or die $!;
    while (accept(C, S)) { print C "beside"; close(C) }' &
listener=$!
trap 'kill $server $beside $listener 2>/dev/null' EXIT
i=0
until "$busybox" wget -q -O /dev/null http://127.0.0.1:8080/page && "$probe" connect-abstract agentbox-engines | grep -q beside; do
    i=$((i + 1))
    [ $i -lt 200 ] || { fail 'the servers of the container answer'; break; }
    sleep 0.05
done

# --- check ------------------------------------------------------------------------------------------------------------
json=$("$agentbox" check --json 2>&1)
status=$?
# Without a word only the full rung is taken.
if [ "$rung" = full ]; then expect 'check says yes to a default run' 0 $status; else expect 'check says no to a default run' 1 $status; fi
found=$(printf '%s\n' "$json" | sed -n 's/^  "rung": *"\([a-z-]*\)",*$/\1/p')
expect "check predicts the rung $rung" "$rung" "$found"
said=$("$agentbox" run --net none -- true 2>&1)
status=$?
if [ "$rung" = full ]; then
    expect 'a default run runs' 0 $status
else
    expect 'a default run is refused' 125 $status
    case $said in *"--rung $rung"*) ok 'and names the flag' ;; *) fail 'and names the flag' "$said" ;; esac
fi
for mode in none filtered host; do
    said=$("$agentbox" run --rung "$rung" --net $mode -- sh -c 'exit 7' 2>&1)
    status=$?
    if [ $status = 7 ]; then ok "a run with --net $mode ends as its command"; else fail "a run with --net $mode" "$said"; fi
done
case $rung in landlock) above=container-proc ;; container-proc) above=full ;; *) above= ;; esac
if [ -n "$above" ]; then
    said=$("$agentbox" run --rung $above --net none -- true 2>&1)
    expect "a run that accepts no less than $above is refused" 125 $?
fi

# --- rows: OPERATION, the answer on container-proc, on landlock (`a,b`: one of them), and on full where it is another than the first --
sock=/run/docker.sock
rows="
read /run/secrets/db_password|ENOENT|EACCES
read /var/run/secrets/kubernetes.io/serviceaccount/token|ENOENT|EACCES
listdir /run/secrets|ENOENT|EACCES
read $HOME/.docker/config.json|ENOENT|EACCES
read $HOME/.aws/credentials|ENOENT|EACCES
read /srv/runner/.credentials|ENOENT|EACCES
read /srv/runner/.credentials_rsaparams|ENOENT|EACCES
read /srv/runner/_temp/token|ENOENT|EACCES
connect-unix $sock|ENOENT|EPERM
connect-abstract agentbox-engines|ECONNREFUSED|EPERM
read /proc/1/environ|ENOENT|EACCES|EACCES
read /proc/$beside/environ|ENOENT|EACCES
mem-read 1|ENOENT|EACCES|EACCES
mem-read $beside|ENOENT|EACCES
readlink /proc/1/root|ENOENT|EACCES|EACCES
readlink /proc/$beside/cwd|ENOENT|EACCES
readlink /proc/$beside/root|ENOENT|EACCES
readlink /proc/$beside/exe|ENOENT|EACCES
readlink /proc/$beside/fd/0|ENOENT|EACCES
read /proc/$beside/maps|ENOENT|EACCES
ptrace-attach $beside|ESRCH|EPERM
ptrace-seize $beside|ESRCH|EPERM
vm-read $beside|EPERM|EPERM
kill $beside 0|ESRCH|EPERM
kill $beside 9|ESRCH|EPERM
connect-tcp 127.0.0.1:8080|ECONNREFUSED|EPERM
socket packet raw|EPERM,EAFNOSUPPORT|EPERM
userns-mount / /|EPERM|EPERM
create /usr/agentbox-new 420|EROFS,EACCES|EROFS,EACCES
write /proc/sys/kernel/core_pattern x|EROFS,EACCES|EROFS,EACCES
read $work/src/main.c|ok|ok
create $work/src/new 420|ok|ok
unlink $work/src/new|ok|ok
read /proc/self/environ|ok|ok
listdir /proc/self/fd|ok|ok
readlink /proc/self/cwd|ok|ok
socketpair|ok|ok
read /etc/passwd|ok|ok
write /dev/null x|ok|ok
"
answer() { case $1 in *'"ok":true'*) echo ok ;; *'"name":"'*) echo "$1" | sed 's/.*"name":"\([A-Z0-9]*\)".*/\1/' ;; *) echo "$1" ;; esac; }
# Outside each of them can be had, or the denial says nothing.
set --
old=$IFS
IFS='
'
for row in $rows; do
    operation=${row%%|*}
    set -- "$@" "$operation"
    case $operation in
    "read /run/"* | "read /var/run/"* | "read $HOME/."* | "read /srv/runner/"* | "read /proc/"*environ | "connect-"*)
        IFS=$old
        got=$("$probe" $operation)
        case $got in
        *'"ok":true'*) ok "outside: $operation" ;;
        *) fail "outside: $operation" "$got" ;;
        esac
        IFS='
'
        ;;
    esac
done
IFS=$old
said=$("$agentbox" run -q --rung "$rung" --net none --read "$here" -- "$probe" batch "$@" 2>"$HOME/tmp/err")
[ $? = 0 ] || fail 'the probe in the box' "$(cat "$HOME/tmp/err")"
printf '%s\n' "$rows" | sed /^$/d >"$HOME/tmp/rows"
printf '%s\n' "$said" >"$HOME/tmp/answers"
exec 4<"$HOME/tmp/answers"
while IFS='|' read -r operation proc landlock full; do
    read -r line <&4 || line=none
    case $rung in landlock) want=$landlock ;; full) want=${full:-$proc} ;; *) want=$proc ;; esac
    got=$(answer "$line")
    case ,$want, in *",$got,"*) ok "$operation: $got" ;; *) fail "$operation" "$line, not $want" ;; esac
done <"$HOME/tmp/rows"
case $said in *"$secret"*) fail 'no secret in any answer' ;; *) ok 'no secret in any answer' ;; esac
kill -0 $beside && ok 'the process beside the box lives' || fail 'the process beside the box lives'

# --- the rest -----------------------------------------------------------------------------------------------------------
box() { "$agentbox" run -q --rung "$rung" --net none --read "$here" "$@" 2>&1; }
said=$(box -- cat .env)
status=$?
if [ "$rung" = landlock ]; then
    case $status$said in 1*"Permission denied"*) ok 'a hidden .env: EACCES' ;; *) fail 'a hidden .env' "$status $said" ;; esac
else
    expect 'a hidden .env reads as empty' '0' "$status$said"
fi
said=$(box -- sh -c 'env; cat /proc/*/environ 2>/dev/null | tr "\0" "\n"; true')
case $said in *hunter2*) fail 'no environment has the secret' "$said" ;; *PATH=*) ok 'no environment has the secret' ;; *) fail 'the environment' "$said" ;; esac
# kill(-1) is what an agent does when nothing else helps.
said=$(box -- sh -c '(kill -9 -1); true')
kill -0 $beside && kill -0 $server && ok 'kill -1 ends at the box' || fail 'kill -1 ends at the box' "$said"
# A core dump is a copy of memory that nobody hides.
mkdir -p "$HOME/core" "$work/core"
(cd "$HOME/core" && ulimit -c unlimited 2>/dev/null && sh -c 'kill -SEGV $$') 2>/dev/null
if [ -n "$(ls "$HOME/core")" ]; then
    box -- sh -c 'cd core; ulimit -c unlimited; sh -c "kill -SEGV \$\$"' >/dev/null
    expect 'no core dump in the box' '' "$(ls "$work/core")"
else
    echo "SKIP core dump: this kernel writes none here ($(cat /proc/sys/kernel/core_pattern), ulimit $(ulimit -Hc))"
fi
# Daemons end with it.
box -- sh -c "(setsid '$busybox' sleep 424242 &) ; (setsid setsid nohup '$busybox' sleep 424242 >/dev/null 2>&1 &) ; sleep 0.2" >/dev/null
left=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -c 'sleep 42424[2]')
expect 'nothing outlives the box' 0 "$left"
# Names by the gate.
cat >"$HOME/net.toml" <<EOF
extends = ["shell"]
[layers]
rung = "$rung"
[network]
allow = ["web.test:8080+private"]
[network.hosts]
"web.test" = "127.0.0.1"
"other.test" = "127.0.0.1"
EOF
net() { "$agentbox" run -q -p "$HOME/net.toml" --read "$here" -- "$@" 2>&1; }
expect 'a granted host' granted "$(net "$busybox" wget -q -O - http://web.test:8080/page)"
said=$(net "$busybox" wget -q -O - http://other.test:8080/page)
status=$?
case $status$said in 0* | *granted*) fail 'a host that is not granted' "$said" ;; *) ok 'a host that is not granted' ;; esac
said=$(net "$probe" connect-tcp 127.0.0.1:8080)
case $said in *'"ok":true'*) fail 'past the gate' "$said" ;; *'"name":"E'*) ok "past the gate: $(answer "$said")" ;; *) fail 'past the gate' "$said" ;; esac
said=$(net "$probe" send-udp 127.0.0.1:53)
case $rung$(answer "$said") in landlockEPERM | container-procok | fullok) ok "UDP: $(answer "$said")" ;; *) fail UDP "$said" ;; esac
# What says why.
said=$(box -- "$agentbox" why read /run/secrets/db_password)
expect 'why in the box: a secret is a no' 1 $?
said=$(box -- "$agentbox" why read "$work/src/main.c")
expect 'why in the box: the workspace is a yes' 0 $?
# The record.
said=$("$agentbox" sessions show --json last 2>/dev/null || cat "$HOME"/.local/state/agentbox/sessions/*/session.json 2>/dev/null)
case $said in *"\"$rung\""*) ok 'the record names the rung' ;; *) fail 'the record names the rung' "$(printf %s "$said" | head -c 300)" ;; esac
exit $failed
