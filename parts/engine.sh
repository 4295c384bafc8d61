#!/usr/bin/env bash
# The ClickHouse engine as a shared library (chDB), from npm by package name. `.parts/engine/libchdb.so`
. "$(dirname "$0")/lib.sh"

version=26.7.3-stable.1
into=$parts_dir/engine

# The platform as the package names it, and the SHA-256 of that package's tarball. A platform without a digest that
# somebody checked is refused: an engine nobody pinned must not get in by this door.
case "$(uname -s)-$(uname -m)" in
    Linux-x86_64)
        package=@chdb/lib-linux-x64-gnu
        sha256=c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad
        ;;
    Linux-aarch64) package=@chdb/lib-linux-arm64-gnu ;;
    Darwin-arm64) package=@chdb/lib-darwin-arm64 ;;
    Darwin-x86_64) package=@chdb/lib-darwin-x64 ;;
    *) die "chDB is not built for $(uname -sm); give a ClickHouse server in [store] url" ;;
esac
[ -n "${sha256:-}" ] || die "no digest is pinned yet for $package $version: add it to parts/engine.sh, or give a ClickHouse server in [store] url"
stamp="$package $version $sha256"

fetch() {
    if is_there "$into" "$stamp"; then return; fi
    need node nodejs
    need npm npm
    need sha256sum coreutils
    rm -rf "$into.new"
    mkdir -p "$into.new"
    say "parts: fetching $package $version (178 MB, 566 MB unpacked)"
    local tarball actual
    tarball=$into.new/$(cd "$into.new" && npm pack --silent --ignore-scripts "$package@$version") ||
        die "npm could not fetch $package@$version; is the registry reachable? (npm ping)"
    actual=$(sha256sum "$tarball" | cut -d' ' -f1)
    if [ "$actual" != "$sha256" ]; then
        rm -rf "$into.new"
        die "$package@$version has digest $actual, pinned is $sha256: not unpacked"
    fi
    tar -xzf "$tarball" -C "$into.new" --strip-components=1 package/libchdb.so package/package.json
    rm -f "$tarball"
    # On the disk before the stamp says so: a machine that loses power here must not be left with half a library.
    sync "$into.new/libchdb.so"
    settle "$into.new" "$into" "$stamp"
    say "parts: the engine is in $into"
}

under_lock engine fetch
