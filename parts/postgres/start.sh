#!/usr/bin/env bash
# start.sh FOLDER PORT: a server on 127.0.0.1:PORT with its data in FOLDER, new where it is not there, as this process. User tocsin, no password.
# start.sh --init PART: makes the cluster that each server begins with.
# PostgreSQL does not run as root: whoever is root becomes nobody for it.
. "$(dirname "$0")/../lib.sh"

as_nobody=()
if [ "$(id -u)" = 0 ]; then as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups); fi

# give FOLDER: to the user that the server runs as.
give() {
    if [ "$(id -u)" = 0 ]; then chown -R 65534:65534 "$1"; fi
    chmod 700 "$1"
}

server() {
    export LD_LIBRARY_PATH
    LD_LIBRARY_PATH=$(echo "$1/root/usr/lib/"*-linux-gnu)
    bin=$1/root/usr/lib/postgresql/15/bin
}

if [ "$1" = --init ]; then
    server "$2"
    made=$(mktemp -d)
    trap 'rm -rf "$made"' EXIT
    give "$made"
    (cd / && ${as_nobody[@]+"${as_nobody[@]}"} "$bin/initdb" --no-sync -U tocsin -A trust -E UTF8 --locale=C -D "$made/data") >"$2/initdb.log"
    cp -r "$made/data" "$2/data"
    exit
fi

part=$parts_dir/postgres
[ -d "$part/data" ] || die "$part is not there: run \`make parts\`"
server "$part"
mkdir -p "$1"
# The server reaches its folder from the top.
chmod o+x "$(dirname "$1")"
if [ ! -d "$1/data" ]; then cp -r "$part/data" "$1/data"; fi
give "$1"
give "$1/data"
cd /
# What these tests kill is Tocsin and not the machine, so nothing waits for the disk.
exec ${as_nobody[@]+"${as_nobody[@]}"} "$bin/postgres" -D "$1/data" -c listen_addresses=127.0.0.1 -c port="$2" \
    -c unix_socket_directories= -c max_connections=400 -c fsync=off -c jit=off -c log_min_messages=fatal >&2
