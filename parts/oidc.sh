#!/usr/bin/env bash
# oidc-provider, a certified authorization server, from npm. `.parts/oidc/`
. "$(dirname "$0")/lib.sh"

from=$house/parts/oidc
into=$parts_dir/oidc
stamp=$(digest "$from/package.json" "$from/package-lock.json")

fetch() {
    if is_there "$into" "$stamp"; then return; fi
    need node nodejs
    need npm npm
    rm -rf "$into.new"
    mkdir -p "$into.new"
    cp "$from/package.json" "$from/package-lock.json" "$into.new/"
    # The lock file holds the digest of every package; npm refuses what does not match. No package's script is run.
    npm ci --prefix "$into.new" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    settle "$into.new" "$into" "$stamp"
    say "parts: oidc-provider is in $into"
}

under_lock oidc fetch
