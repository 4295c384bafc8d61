# What every fetcher of a pinned part shares; sourced, never run. Parts land in `.parts/`, which git does not track.
set -euo pipefail

house=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
parts_dir=${TOCSIN_PARTS:-$house/.parts}
mkdir -p "$parts_dir"

say() { printf '%s\n' "$*" >&2; }
die() { say "parts: $*"; exit 1; }

# need COMMAND PACKAGE: ends with the name of the Debian package where a tool is missing.
need() {
    command -v "$1" >/dev/null 2>&1 || die "\`$1\` is missing: apt-get install $2"
}

# under_lock NAME COMMAND...: one fetcher of a part at a time, on one machine; the others wait and find it there.
under_lock() {
    need flock util-linux
    local name=$1
    shift
    (
        flock -w 1800 9 || die "another process has been fetching $name for half an hour"
        "$@"
    ) 9>"$parts_dir/.$name.lock"
}

# digest FILE...: one line that stands for the content of all the files.
digest() {
    cat "$@" | sha256sum | cut -d' ' -f1
}

# is_there DIR STAMP: whether DIR was finished for exactly this pin.
is_there() {
    [ -f "$1/.stamp" ] && [ "$(cat "$1/.stamp")" = "$2" ]
}

# settle NEW DIR STAMP: puts a finished folder in its place, so that no one ever sees half a part.
settle() {
    printf '%s' "$3" >"$1/.stamp"
    rm -rf "$2"
    mv "$1" "$2"
}

# npm_part NAME WHAT: the packages of `parts/NAME/package-lock.json`, into `.parts/NAME`.
npm_part() {
    local from=$house/parts/$1 into=$parts_dir/$1 stamp
    stamp=$(digest "$from/package.json" "$from/package-lock.json")
    if is_there "$into" "$stamp"; then return; fi
    need node nodejs
    need npm npm
    rm -rf "$into.new"
    mkdir -p "$into.new"
    cp "$from/package.json" "$from/package-lock.json" "$into.new/"
    # The lock file holds the digest of every package; npm refuses what does not match. No package's script is run.
    npm ci --prefix "$into.new" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    settle "$into.new" "$into" "$stamp"
    say "parts: $2 in $into"
}
