#!/usr/bin/env bash
# Keycloak from Maven Central, the identity provider of the tests. `.parts/keycloak/home` is the server, built once for the
# embedded database; `.parts/keycloak/data` a database that holds the realm of `parts/keycloak/realm.json`.
. "$(dirname "$0")/lib.sh"

version=26.7.5
sha256=30ef87fb7101c43d29688d1ae80c0588ff4a151b3330e9f664bf9692d398658a
from=$house/parts/keycloak
into=$parts_dir/keycloak
stamp=$(digest "$from/realm.json" "$0")

fetch() {
    if is_there "$into" "$stamp"; then return; fi
    need java openjdk-17-jre-headless
    need mvn maven
    need python3 python3
    rm -rf "$into.new"
    mkdir -p "$into.new"
    say "parts: fetching Keycloak $version (174 MB)"
    local zip=$into.new/keycloak-quarkus-dist-$version.zip
    mvn -q -B --strict-checksums dependency:copy \
        -Dartifact=org.keycloak:keycloak-quarkus-dist:$version:zip -DoutputDirectory="$into.new" >&2
    echo "$sha256  $zip" | sha256sum --quiet --strict -c - >&2 || die "Keycloak $version is not the one that is pinned"
    python3 -m zipfile -e "$zip" "$into.new"
    rm "$zip"
    mv "$into.new/keycloak-$version" "$into.new/home"
    # Built once and not at every start; the realm is imported once, so that a test copies it in no time.
    kc build --db=dev-file --features=ssf
    kc import --optimized --file "$from/realm.json"
    mv "$into.new/home/data/h2" "$into.new/data"
    settle "$into.new" "$into" "$stamp"
    say "parts: Keycloak is in $into"
}

kc() {
    bash "$into.new/home/bin/kc.sh" "$@" >>"$into.new/kc.log" 2>&1 || die "Keycloak did not $1: $(tail -5 "$into.new/kc.log")"
}

under_lock keycloak fetch
