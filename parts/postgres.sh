#!/usr/bin/env bash
# PostgreSQL 15 from Debian's packages, the record's other database in tests. `.parts/postgres/root` is what the packages hold,
# `.parts/postgres/data` a new cluster, so that a test starts one without making it. No root is needed: nothing is installed.
. "$(dirname "$0")/lib.sh"

# Debian takes old builds of a release away, so the release is pinned, and apt checks what it gets by the archive's signature.
packages=(postgresql-15 libpq5)
into=$parts_dir/postgres
stamp=$(digest "$0" "$house/parts/postgres/start.sh")

fetch() {
    if is_there "$into" "$stamp"; then return; fi
    need apt-get apt
    need dpkg-deb dpkg
    need setpriv util-linux
    rm -rf "$into.new"
    mkdir -p "$into.new/root"
    say "parts: fetching PostgreSQL 15 (17 MB)"
    (cd "$into.new" && apt-get -qq download "${packages[@]}" 2>"$into.new/apt.log") ||
        die "apt-get could not download ${packages[*]} (apt-get update?): $(cat "$into.new/apt.log")"
    local package missing
    for package in "$into.new"/*.deb; do dpkg-deb -x "$package" "$into.new/root"; done
    rm "$into.new"/*.deb
    missing=$(LD_LIBRARY_PATH=$(echo "$into.new/root/usr/lib/"*-linux-gnu) \
        ldd "$into.new/root/usr/lib/postgresql/15/bin/postgres" | sed -n 's/ => not found//p' | tr -d '\t\n')
    [ -z "$missing" ] || die "PostgreSQL lacks $missing: apt-get install postgresql-15"
    "$house/parts/postgres/start.sh" --init "$into.new"
    settle "$into.new" "$into" "$stamp"
    say "parts: PostgreSQL is in $into"
}

under_lock postgres fetch
