#!/usr/bin/env bash
# What action.yml runs: AGENTBOX_SCRIPT in a box. Workflow commands in the script's output (`::add-mask::` and the like) mean
# nothing while it runs; refusals of agentbox become annotations; the exit status is the script's.
set -uo pipefail

token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
said=$(mktemp)
trap 'rm -f "$said"' EXIT
read -r -a options <<<"${AGENTBOX_OPTIONS:-}"

echo "::group::agentbox"
agentbox --version
echo "::endgroup::"
# The box never sees the token: it is no variable of the environment, and this shell's memory is not the box's to read.
echo "::stop-commands::$token"
pid=
# The runner cancels by SIGINT, then SIGTERM, then SIGKILL: each ends the box, the last one by agentbox's own end.
trap '[ -n "$pid" ] && kill -TERM "$pid"' INT TERM
# Descriptor 3 gets what happened, as JSON lines.
agentbox run --status-fd 3 --profile "${AGENTBOX_PROFILE:-ci}" "${options[@]}" \
    -- bash -e -c "$AGENTBOX_SCRIPT" 3>"$said" </dev/null &
pid=$!
wait "$pid"
status=$?
# A signal interrupts wait; the status is the one of the end.
while kill -0 "$pid" 2>/dev/null; do
    wait "$pid"
    status=$?
done
echo "::$token::"

# `%`, CR and LF are the only characters that an annotation cannot hold as they are.
annotate() { sed -e 's/%/%25/g' -e 's/\r/%0D/g' | while IFS= read -r line; do echo "::error title=agentbox::$line"; done; }
if [ "$status" = 125 ]; then
    # The event alone, of one reason a line: the same words stand in how it ended.
    sed -n 's/^{"event":"refused","why":"\(.*\)"}$/\1/p' "$said" | sed -e 's/\\n/\n/g' -e 's/\\"/"/g' -e 's/\\\\/\\/g' | head -n 5 | annotate
fi
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    {
        echo "### agentbox"
        echo
        echo "profile \`${AGENTBOX_PROFILE:-ci}\`, exit status $status"
    } >>"$GITHUB_STEP_SUMMARY"
fi
exit "$status"
