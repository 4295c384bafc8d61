#!/usr/bin/env bash
# Peers that share no code with Tocsin, from npm: verifiers of webhooks, events, schemas and JOSE, and a TOTP generator. `.parts/peers/`
. "$(dirname "$0")/lib.sh"

from=$house/parts/peers
into=$parts_dir/peers
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
    say "parts: peers are in $into"
}

under_lock peers fetch
