#!/bin/sh
# Installs agentbox from the tarball of a release, without root:
#   install.sh [--prefix DIR] [--sums FILE|URL | --sha256 SUM] TARBALL|URL
# Its checksum is looked up in SHA256SUMS beside the tarball unless something else is said, and nothing is unpacked, and no file
# of DIR (default: ~/.local) changed, before it was compared. Whoever can change both the tarball and SHA256SUMS can change
# both alike: take --sha256 from another place where that matters.
set -eu

die() { echo "install: $*" >&2; exit 1; }
usage() { echo "usage: install.sh [--prefix DIR] [--sums FILE|URL | --sha256 SUM] TARBALL|URL" >&2; exit 2; }

prefix= sums= sum= from=
while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --sums | --sha256)
        [ $# -ge 2 ] && [ -n "$2" ] || usage
        case $1 in
        --prefix) prefix=$2 ;;
        --sums) sums=$2 ;;
        --sha256) sum=$2 ;;
        esac
        shift 2
        ;;
    -*) usage ;;
    *)
        [ -z "$from" ] || usage
        from=$1
        shift
        ;;
    esac
done
[ -n "$from" ] || usage
[ -z "$sums" ] || [ -z "$sum" ] || usage
if [ -z "$prefix" ]; then
    [ -n "${HOME:-}" ] || die "HOME is not set: name a directory with --prefix"
    prefix=$HOME/.local
fi

umask 022
work=$(mktemp -d) || die "no temporary directory can be made"
new=
trap 'rm -rf "$work"; [ -z "$new" ] || rm -f "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# fetch FROM TO: a file, or what a URL has; all of it or nothing.
fetch() {
    case $1 in
    http://* | https://*)
        if command -v curl >/dev/null 2>&1; then
            curl -fsSL --retry 2 -o "$2" -- "$1"
        elif command -v wget >/dev/null 2>&1; then
            wget -q -O "$2" -- "$1"
        else
            die "neither curl nor wget is here: fetch $1 and name the file"
        fi
        ;;
    *) [ -f "$1" ] && cp -- "$1" "$2" ;;
    esac
}

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum <"$1"
    elif command -v shasum >/dev/null 2>&1; then
        shasum -a 256 <"$1"
    else
        openssl dgst -sha256 -r <"$1"
    fi | cut -d ' ' -f 1
}

name=${from##*/}
name=${name%%\?*}
case $name in *.tar.gz) ;; *) die "$from: not a tarball of a release (agentbox-VERSION-ARCH-linux.tar.gz)" ;; esac
fetch "$from" "$work/tarball" || die "$from cannot be fetched"

if [ -z "$sum" ]; then
    case $from in
    */*) beside=${from%/*}/SHA256SUMS ;;
    *) beside=SHA256SUMS ;;
    esac
    sums=${sums:-$beside}
    fetch "$sums" "$work/sums" || die "$sums cannot be fetched: without a checksum nothing is installed"
    sum=$(awk -v name="$name" '$2 == name || $2 == "*" name { print $1 }' "$work/sums")
    [ -n "$sum" ] || die "$sums has no checksum of $name: nothing is installed"
fi
case $sum in *[!0-9a-fA-F]*) die "the checksum of $name is no SHA-256: $sum" ;; esac
[ ${#sum} -eq 64 ] || die "the checksum of $name is no SHA-256: $sum"
found=$(sha256 "$work/tarball")
[ "$found" = "$(printf %s "$sum" | tr A-F a-f)" ] ||
    die "the checksum of $name is $found and has to be $sum: nothing was unpacked"

mkdir "$work/tree"
tar -xzf "$work/tarball" -C "$work/tree" --no-same-owner 2>/dev/null || tar -xzf "$work/tarball" -C "$work/tree" ||
    die "$name cannot be unpacked"
tree=
for dir in "$work"/tree/agentbox-*; do
    [ -x "$dir/bin/agentbox" ] && tree=$dir
done
[ -n "$tree" ] || die "$name has no bin/agentbox in it"
version=$("$tree/bin/agentbox" --version) || die "this program does not run here ($(uname -sm))"

mkdir -p "$prefix/bin" || die "$prefix cannot be written: name another directory with --prefix"
# By rename: a program that runs is not changed, and nobody sees half of one.
new=$prefix/bin/.agentbox.new.$$
cp "$tree/bin/agentbox" "$new" && chmod 755 "$new" && mv -f "$new" "$prefix/bin/agentbox" ||
    die "$prefix/bin cannot be written: name another directory with --prefix"
new=
(cd "$tree" && find share -type f) | while read -r file; do
    mkdir -p "$prefix/${file%/*}" && cp "$tree/$file" "$prefix/$file" && chmod 644 "$prefix/$file" || exit 1
done || die "$prefix/share cannot be written"

echo "$version is in $prefix/bin"
case :${PATH:-}: in
*:"$prefix/bin":*) ;;
*) echo "not on PATH: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
