# Sourced by prepare.sh and frontend: starts a private PostgreSQL server that is gone afterwards. Needs pg_bin and die.
# Sets: work, server (its address without a database), settings. Reads: preload, a library for the server to load.
work=$(mktemp -d)
chmod 755 "$work"
as_postgres() { if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
if [ "$(id -u)" -eq 0 ]; then chown postgres "$work"; fi
stop_server() {
    as_postgres "$pg_bin/pg_ctl" -D "$work/data" -m immediate -w stop > /dev/null 2>&1 || true
    rm -rf "$work"
}
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
port=0
for candidate in $(shuf -i 20000-32000 -n 50); do
    if ! (exec 3<> "/dev/tcp/127.0.0.1/$candidate") 2> /dev/null; then port=$candidate; break; fi
done
# What anybody would set on a server of its own; fsync and synchronous_commit stay on.
settings=(shared_buffers=1GB max_wal_size=8GB checkpoint_timeout=15min wal_compression=lz4 max_connections=200)
options=("-p $port" "-c listen_addresses=127.0.0.1" "-c unix_socket_directories=''")
for setting in "${settings[@]}"; do options+=("-c $setting"); done
if [ -n "${preload:-}" ]; then options+=("-c shared_preload_libraries=$preload"); fi
(cd "$work" && as_postgres "$pg_bin/initdb" -D "$work/data" -U postgres -A trust -E UTF8 --no-instructions) \
    > "$work/initdb.log" 2>&1 || { cat "$work/initdb.log" >&2; exit 1; }
(cd "$work" && as_postgres "$pg_bin/pg_ctl" -D "$work/data" -w -l "$work/log" -o "${options[*]}" start) > /dev/null ||
    { cat "$work/log" >&2; exit 1; }
# Read by the scripts that source this.
# shellcheck disable=SC2034
server="postgresql://postgres@127.0.0.1:$port"
