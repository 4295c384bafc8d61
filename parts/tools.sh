#!/usr/bin/env bash
# tools.sh COMMAND...: ends with the name of the Debian package of the first tool that is missing or too old.
. "$(dirname "$0")/lib.sh"

for tool in "$@"; do
    case $tool in
        cargo) command -v cargo >/dev/null 2>&1 || die "\`cargo\` is missing: install Rust 1.95 or newer (rustup)" ;;
        cc) need cc build-essential && need make build-essential ;;
        node) need node nodejs ;;
        java) need java openjdk-17-jre-headless ;;
        mvn) need mvn maven ;;
        *) need "$tool" "$tool" ;;
    esac
done
