#!/usr/bin/env bash
# A second JOSE library that shares no code with Tocsin, in another language: jwcrypto from PyPI. `.parts/jwcrypto/`
. "$(dirname "$0")/lib.sh"

from=$house/parts/jwcrypto
into=$parts_dir/jwcrypto
stamp=$(digest "$from/requirements.txt")

fetch() {
    if is_there "$into" "$stamp"; then return; fi
    need python3 python3
    python3 -m pip --version >/dev/null 2>&1 || die "\`pip\` is missing: apt-get install python3-pip"
    rm -rf "$into.new"
    mkdir -p "$into.new"
    # pip refuses what no digest is pinned for; nothing is built, so no package's script is run.
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --only-binary=:all: --require-hashes --no-deps \
        --target "$into.new" --requirement "$from/requirements.txt" >&2 ||
        die "no jwcrypto for this Python is pinned: add its digests to parts/jwcrypto/requirements.txt"
    settle "$into.new" "$into" "$stamp"
    say "parts: jwcrypto is in $into"
}

under_lock jwcrypto fetch
