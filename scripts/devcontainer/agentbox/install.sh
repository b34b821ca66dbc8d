#!/bin/sh
# Installs agentbox into a development container, as root while the image is built. Options of the Feature are variables:
# PROFILE, VERSION, URL, AGENTS. PREFIX is for tests.
set -eu

prefix=${PREFIX:-/usr/local}
here=$(cd "$(dirname "$0")" && pwd)
die() { echo "agentbox feature: $*" >&2; exit 1; }

mkdir -p "$prefix/bin"
if [ -n "${VERSION:-}" ]; then
    [ -n "${URL:-}" ] || die "\`version\` needs \`url\`: where releases are"
    file=agentbox-$(uname -m)-linux
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    for name in "$file" SHA256SUMS; do
        curl -fsSL "$URL/$VERSION/$name" -o "$work/$name" || die "cannot fetch $URL/$VERSION/$name"
    done
    (cd "$work" && grep " [ *]*$file\$" SHA256SUMS | sha256sum -c - >/dev/null) || die "the checksum of $file is not the one of SHA256SUMS"
    install -m 0755 "$work/$file" "$prefix/bin/agentbox"
elif [ -f "$here/agentbox" ]; then
    install -m 0755 "$here/agentbox" "$prefix/bin/agentbox"
else
    die "put the program beside install.sh (cp \"\$(command -v agentbox)\" .devcontainer/agentbox/), or name a \`version\` and a \`url\`"
fi
"$prefix/bin/agentbox" --version || die "this build of agentbox does not run in this image: take a static one"

# A shell in the box, for terminals of the editor.
profile=${PROFILE:-devcontainer}
case $profile in *[!A-Za-z0-9._/-]*) die "profile: $profile" ;; esac
# An editor gives its shell options (-l, -c).
printf '#!/bin/sh\ncase ${1:--} in -*) set -- bash "$@" ;; esac\nexec agentbox run --profile %s -- "$@"\n' "$profile" \
    >"$prefix/bin/agentbox-shell"
chmod 0755 "$prefix/bin/agentbox-shell"

packages=
for agent in $(printf %s "${AGENTS:-}" | tr , ' '); do
    case $agent in
    claude) packages="$packages @anthropic-ai/claude-code" ;;
    codex) packages="$packages @openai/codex" ;;
    opencode) packages="$packages opencode-ai" ;;
    gemini) packages="$packages @google/gemini-cli" ;;
    *) die "agents: $agent is none of claude, codex, opencode, gemini" ;;
    esac
done
if [ -n "$packages" ]; then
    command -v npm >/dev/null || die "agents need npm: add the Feature ghcr.io/devcontainers/features/node"
    # shellcheck disable=SC2086
    npm install -g $packages
fi
