#!/usr/bin/env bash
# Chromium from Debian's packages, for what only a browser can say of the pages. `.parts/chromium/chromium` starts it. Where it is installed,
# it is that one; else the packages are unpacked beside it, which takes no rights. apt verifies what Debian signed.
. "$(dirname "$0")/lib.sh"

into=$parts_dir/chromium
# Older ones lack calls of WebAuthn's virtual authenticator.
oldest=140
stamp="chromium $oldest 1"

new_enough() {
    local version
    version=$("$1" --version 2>/dev/null | grep -o '[0-9]*\.' | head -n 1) || return 1
    [ "${version%.}" -ge "$oldest" ]
}

# What is missing for chromium on this machine, by apt's own reckoning.
closure() {
    apt-get -s install --no-install-recommends chromium | awk '/^Inst /{print $2}'
}

fetch() {
    if is_there "$into" "$stamp"; then return; fi
    rm -rf "$into.new"
    mkdir -p "$into.new"
    if new_enough chromium; then
        ln -s "$(command -v chromium)" "$into.new/chromium"
    else
        need apt-get apt
        need dpkg-deb dpkg
        local packages
        packages=$(closure) || { apt-get update -qq >&2 && packages=$(closure); } || die "apt knows no chromium: apt-get update"
        mkdir "$into.new/debs" "$into.new/root"
        # shellcheck disable=SC2086
        (cd "$into.new/debs" && apt-get download -qq $packages >&2) || die "chromium's packages cannot be downloaded: apt-get update"
        for deb in "$into.new"/debs/*.deb; do dpkg-deb -x "$deb" "$into.new/root"; done
        rm -rf "$into.new/debs"
        cat >"$into.new/chromium" <<'START'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
libraries=$root/usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$libraries:$libraries/pulseaudio${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$root/usr/lib/chromium/chromium" "$@"
START
        chmod +x "$into.new/chromium"
        new_enough "$into.new/chromium" || die "the chromium of this Debian does not start or is older than $oldest"
    fi
    settle "$into.new" "$into" "$stamp"
    say "parts: chromium is in $into"
}

under_lock chromium fetch
