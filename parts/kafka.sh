#!/usr/bin/env bash
# Apache Kafka from Maven Central, the broker of the tests. `.parts/kafka/libs` holds the jars, `.parts/kafka/formatted` an
# empty broker's data folder, so that a test starts one without the four seconds that formatting takes.
. "$(dirname "$0")/lib.sh"

from=$house/parts/kafka
into=$parts_dir/kafka
stamp=$(digest "$from/pom.xml" "$from/sha256sums" "$from/server.properties" "$0")

fetch() {
    if is_there "$into" "$stamp"; then return; fi
    need java openjdk-17-jre-headless
    need mvn maven
    rm -rf "$into.new"
    mkdir -p "$into.new/libs"
    say "parts: fetching Apache Kafka"
    mvn -q -B --strict-checksums -f "$from/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$into.new/libs" >&2
    check "$into.new/libs"
    format "$into.new"
    settle "$into.new" "$into" "$stamp"
    say "parts: Kafka is in $into"
}

# Exactly the listed jars, each with the listed content.
check() {
    local strangers
    strangers=$(cd "$1" && ls | grep -vxFf <(cut -c67- "$from/sha256sums") || true)
    [ -z "$strangers" ] || die "Maven brought jars that parts/kafka/sha256sums does not list: $strangers"
    (cd "$1" && sha256sum --quiet --strict -c "$from/sha256sums" >&2) || die "a jar is not the one that is pinned"
}

# The quorum is a fixed one of a single voter: its address is configuration, so the formatted folder names no port.
format() {
    sed "s#@DATA@#$1/formatted#; s#@BROKER@#1#g; s#@CONTROLLER@#2#g" "$from/server.properties" >"$1/format.properties"
    java -Xshare:auto -XX:TieredStopAtLevel=1 -cp "$1/libs/*" kafka.tools.StorageTool format \
        -t VG9jc2luVGVzdEJyb2tlcg -c "$1/format.properties" >"$1/format.log" 2>&1 ||
        die "Kafka did not format its folder: $(cat "$1/format.log")"
}

under_lock kafka fetch
