#!/usr/bin/env bash
# Fetch pjproject's pinned source into FILE: upstream's release first, Debian's copy of the same version second.
# usage: fetch.sh FILE
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=image/pjsua2/source.env
. "$here/source.env"
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

has_hash() { [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ]; }

from_upstream() {
    curl -fsSL --connect-timeout 8 --max-time 300 -o "$work/src" "$PJ_UPSTREAM_URL" 2>"$work/err" || {
        echo "upstream release not reachable ($(tail -n 1 "$work/err")); trying Debian's source package"
        return 1
    }
    has_hash "$work/src" "$PJ_UPSTREAM_SHA256" || {
        echo "error: $PJ_UPSTREAM_URL does not have the pinned SHA-256" >&2
        echo "hint: if upstream re-published it, check the change and set PJ_UPSTREAM_SHA256 in image/pjsua2/source.env" >&2
        exit 1
    }
}

# apt with its own lists, so that the machine's sources stay as they are.
from_debian() {
    local mirror uri
    # shellcheck disable=SC2016 # apt-get fills these in
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' | awk '$2 == "Debian" && $3 == "Debian" {print $1; exit}')
    [ -n "$mirror" ] || { echo "error: no Debian mirror in apt's sources, and upstream was not reachable" >&2; exit 1; }
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $PJ_DEBIAN_SUITE main" >"$work/sources.list"
    local apt=(apt-get -q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
    "${apt[@]}" update >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    uri=$("${apt[@]}" --print-uris source "$PJ_DEBIAN_PACKAGE" 2>/dev/null | grep -o "'[^']*\.orig-Xpjproject\.tar\.xz'" | tr -d "'" || true)
    [ -n "$uri" ] || {
        echo "error: Debian $PJ_DEBIAN_SUITE's $PJ_DEBIAN_PACKAGE source has no pjproject tarball any more" >&2
        echo "hint: set PJ_DEBIAN_SUITE in image/pjsua2/source.env to a suite that has it" >&2
        exit 1
    }
    curl -fsSL --max-time 300 -o "$work/src" "$uri"
    has_hash "$work/src" "$PJ_DEBIAN_SHA256" || {
        echo "error: Debian $PJ_DEBIAN_SUITE has moved to another pjproject: ${uri##*/}" >&2
        echo "       SHA-256 $(sha256sum <"$work/src" | cut -d' ' -f1), pinned $PJ_DEBIAN_SHA256 (version $PJ_VERSION)" >&2
        echo "hint: in image/pjsua2/source.env set PJ_VERSION to its version.mak's and PJ_DEBIAN_SHA256 to the hash above," >&2
        echo "      and PJ_UPSTREAM_* to the same release" >&2
        exit 1
    }
}

from_upstream || from_debian
mv "$work/src" "$out"
