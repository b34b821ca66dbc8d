#!/bin/bash
# Runs twice in a virtual machine of scripts/kernels: `before` leaves a box that works and everything it has written on the disk; then
# the machine is reset, as by a power cut. `after` looks at what was left: nothing but the agent's own work, and what it may not keep is
# put back by the next command. One line each, "ok" or "FAIL"; ends with 1 if one failed.
here=/agentbox-kernels
. $here/settings
failed=0
ok() { echo "ok   $1"; }
# expect TITLE WANTED FOUND
expect() {
    if [[ $2 == "$3" ]]; then
        ok "$1"
    else
        failed=1
        echo "FAIL $1"
        diff <(echo "$2") <(echo "$3") | sed 's/^/| /' | head -n 20
    fi
}
work=$HOME/work
# What is there, but for what git and agentbox keep for themselves.
names() { (cd "$HOME" && find . -path ./.local -prune -o -path '*/.git/*' -prune -o -print | LC_ALL=C sort); }
status() { git -C "$work" status --porcelain --untracked-files=all; }

if [[ $1 == before ]]; then
    git config --global user.email a@example.org
    git config --global user.name a
    git config --global init.defaultBranch main
    mkdir -p "$work/.github/workflows" && cd "$work" || exit 2
    git init -q
    echo .env >.gitignore
    echo 'on: push' >.github/workflows/ci.yml
    git add . && git commit -qm first
    echo SECRET=1 >.env
    names >/notes/names
    cat >/notes/agent.sh <<'AGENT'
echo 'run: evil' >>.github/workflows/ci.yml
git config core.fsmonitor ./evil
echo evil >.git/hooks/pre-commit
echo '{"mcpServers":{"x":{"command":"evil"}}}' >.mcp.json
echo found >.env
cat .env >seen
git init -q nested
echo evil >nested/.git/hooks/post-checkout
echo work >done.txt
sync
sleep 600
AGENT
    "$agentbox" run -q --detach --net none -- sh -c "$(cat /notes/agent.sh)" >/notes/id || exit 2
    for ((i = 0; i < 600; i++)); do
        [[ -e done.txt ]] && break
        sleep 0.1
    done
    expect 'the agent works' work "$(cat done.txt)"
    # The host writes as well.
    echo SECRET=2 >.new && mv .new .env
    sleep 1
    sync
    expect 'its box lives' running "$("$agentbox" ps --json | grep -o '"state":"[a-z]*"' | cut -d'"' -f4)"
    exit $failed
fi

cd "$work" || exit 2
id=$(cat /notes/id)
expect 'nothing is there but what the agent made' "$(printf '%s\n' "$(cat /notes/names)" ./work/{done.txt,nested,nested/.git,seen} | LC_ALL=C sort)" "$(names)"
expect 'hidden files are what the host made of them' SECRET=2 "$(cat .env)"
expect 'what was hidden was read as empty' '' "$(cat seen)"
expect 'no session lives' '[]' "$("$agentbox" ps --json | tr -d ' \n')"
# Any command that looks does what the end of the session would have done.
"$agentbox" restore >/notes/restore 2>&1
expect 'protected files are put back' '' "$(status | grep -vx -e '?? done.txt' -e '?? seen' -e '?? nested/')"
expect 'git runs nothing of it' ' ' "$(git config core.fsmonitor) $(ls .git/hooks | grep -v '\.sample$')"
expect 'nor of the repository that was born' '' "$(ls nested/.git/hooks | grep -v '\.sample$')"
expect 'nor do agents' '' "$(ls .mcp.json 2>/dev/null)"
expect 'the record says it' 1 "$(grep -c '"lost"' "$HOME/.local/state/agentbox/sessions/$id/session.json")"
for name in .github/workflows/ci.yml .mcp.json nested/.git/hooks/post-checkout; do
    expect "$name can be had again" "$work/$name" "$(grep -o "$work/$name" /notes/restore | sort -u)"
done
"$agentbox" run -q --net none -- true
expect 'the next box starts' 0 $?
expect 'and leaves nothing either' "$(printf '%s\n' "$(cat /notes/names)" ./work/{done.txt,nested,nested/.git,seen} | LC_ALL=C sort)" "$(names)"
exit $failed
