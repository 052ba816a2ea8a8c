#!/usr/bin/env bash
# Starts everything: the database, the account API, the transfer page, the history pages and the workers. Ctrl-C stops it all.
# Settings: .env.example.
# shellcheck disable=SC2317  # stop and what it calls run from a trap
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$PWD
state=$root/.perdure

colours=false
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then colours=true; fi

say() { if $colours; then printf '\033[1m%s\033[0m\n' "$*"; else printf '%s\n' "$*"; fi; }
die() { printf 'start_services.sh: %s\n' "$*" >&2; exit 1; }

# --- settings: the environment, then .env, then these ---------------------------------------------------------------
load_env() {
    local line name
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in '' | '#'*) continue ;; esac
        name=${line%%=*}
        [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || die ".env: cannot read the line '${name}': write NAME=value"
        [ -n "${!name+set}" ] || export "$name=${line#*=}"
    done < "$1"
}
[ ! -f .env ] || load_env .env
export PERDURE_HOST=${PERDURE_HOST:-127.0.0.1} LOG_LEVEL=${LOG_LEVEL:-info}
export ACCOUNT_API_PORT=${ACCOUNT_API_PORT:-5000} TRANSFER_WEB_PORT=${TRANSFER_WEB_PORT:-5001} HISTORY_WEB_PORT=${HISTORY_WEB_PORT:-8080}
export PERDURE_NAMESPACE=${PERDURE_NAMESPACE:-default} PERDURE_TASK_QUEUE=${PERDURE_TASK_QUEUE:-bank}
export PERDURE_LEASE_SECONDS=${PERDURE_LEASE_SECONDS:-10} BANK_WORKSHOP=${BANK_WORKSHOP:-on}
reach=$PERDURE_HOST
case $reach in 0.0.0.0 | '::' | '*') reach=127.0.0.1 ;; esac
export ACCOUNT_API_URL=${ACCOUNT_API_URL:-http://$reach:$ACCOUNT_API_PORT}
export HISTORY_WEB_URL=${HISTORY_WEB_URL:-http://$reach:$HISTORY_WEB_PORT}
state=${PERDURE_STATE:-$state}
case $state in /*) ;; *) state=$root/$state ;; esac
shown=${state#"$root/"}
workers=${PERDURE_WORKERS:-2}
build=${PERDURE_BUILD:-debug}
pg_port=${PERDURE_PG_PORT:-54329}
[[ $workers =~ ^[0-9]+$ ]] || die "PERDURE_WORKERS is '$workers': give a number"
case $build in debug | release) ;; *) die "PERDURE_BUILD is '$build': it is debug or release" ;; esac

check_port() { # setting value
    [[ $2 =~ ^[1-9][0-9]{0,4}$ && $2 -le 65535 ]] || die "$1 is '$2': give a port from 1 to 65535"
}
check_port PERDURE_PG_PORT "$pg_port"
for setting in ACCOUNT_API_PORT TRANSFER_WEB_PORT HISTORY_WEB_PORT; do check_port "$setting" "${!setting}"; done

# --- one at a time ---------------------------------------------------------------------------------------------------
mkdir -p "$state"
if [ -f "$state/pid" ] && kill -0 "$(cat "$state/pid")" 2>/dev/null; then
    die "already running, as process $(cat "$state/pid"): stop that with Ctrl-C first"
fi

port_is_free() { ! (exec 3<> "/dev/tcp/$reach/$1") 2>/dev/null; }
for setting in ACCOUNT_API_PORT TRANSFER_WEB_PORT HISTORY_WEB_PORT; do
    port=${!setting}
    port_is_free "$port" || {
        owner=$( (ss -Hltnp "sport = :$port" 2>/dev/null || true) | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/ by \1, process \2/p')
        die "port $port is taken$owner: free it, or set $setting"
    }
done

# --- what is missing ------------------------------------------------------------------------------------------------
command -v swift > /dev/null || die "there is no Swift here: install Swift 6 from https://www.swift.org/install"
own_database=false
if [ -z "${DATABASE_URL:-}" ] && [ -z "${PGHOST:-}${PGSERVICE:-}${PGDATABASE:-}" ]; then own_database=true; fi

find_pg_bin() {
    local folder
    for folder in $(find /usr/lib/postgresql -maxdepth 2 -name bin 2> /dev/null | sort -Vr) "$(dirname "$(command -v initdb 2>/dev/null || echo /nowhere/x)")"; do
        if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then echo "$folder"; return; fi
    done
}
missing=()
[ -f /usr/include/postgresql/libpq-fe.h ] || [ -f /usr/include/libpq-fe.h ] || missing+=(libpq-dev)
[ -f /usr/include/jemalloc/jemalloc.h ] || missing+=(libjemalloc-dev)
command -v pkg-config > /dev/null || missing+=(pkg-config)
command -v curl > /dev/null || missing+=(curl)
if $own_database && [ -z "$(find_pg_bin)" ]; then missing+=(postgresql); fi
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get > /dev/null || die "please install: ${missing[*]}"
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo > /dev/null || die "please install, as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" > /dev/null; } \
        || die "could not install ${missing[*]}: see above, then apt-get install ${missing[*]} by hand"
fi

# --- stopping --------------------------------------------------------------------------------------------------------
echo $$ > "$state/pid"
web_pids=() supervisor_pid='' pg_started=false stopping=false

as_postgres() { if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

stop_pids() {
    local pid
    for pid in "$@"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "$@"; do
        for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -KILL "$pid" 2>/dev/null || true
    done
}

stop() {
    local code=$?
    trap - EXIT
    trap '' INT TERM
    $stopping && return
    stopping=true
    if [ ${#web_pids[@]} -gt 0 ] || [ -n "$supervisor_pid" ]; then say "stopping"; fi
    if [ ${#web_pids[@]} -gt 0 ]; then stop_pids "${web_pids[@]}"; fi
    if [ -n "$supervisor_pid" ]; then stop_pids "$supervisor_pid"; fi
    # Nothing is left of these, unless the supervisor was killed.
    local file left=()
    for file in "$state"/worker-*.pid; do [ -e "$file" ] || continue; left+=("$(cat "$file")"); rm -f "$file"; done
    if [ ${#left[@]} -gt 0 ]; then stop_pids "${left[@]}"; fi
    if $pg_started; then as_postgres "$pg_bin/pg_ctl" -D "$cluster/data" -m fast -w stop > /dev/null || true; fi
    rm -f "$state/pid"
    exit "$code"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- the database ------------------------------------------------------------------------------------------------------
if $own_database; then
    pg_bin=$(find_pg_bin)
    [ -n "$pg_bin" ] || die "there is no PostgreSQL server here: apt-get install postgresql, or set DATABASE_URL"
    cluster=$state/postgres
    if [ "$(id -u)" -eq 0 ] && ! { mkdir -p "$cluster" && chown postgres "$cluster" && runuser -u postgres -- test -x "$cluster"; } 2>/dev/null; then
        # Postgres refuses root, and its own user cannot reach this folder.
        cluster=/var/lib/postgresql/perdure-$(printf %s "$state" | cksum | cut -d' ' -f1)
        ln -sfn "$cluster" "$state/postgres-cluster"
        say "the private cluster is at $cluster, because the user postgres cannot enter $root"
    fi
    mkdir -p "$cluster"
    if [ "$(id -u)" -eq 0 ]; then chown postgres "$cluster"; fi
    chmod 700 "$cluster"
    if [ ! -f "$cluster/data/PG_VERSION" ]; then
        say "making a private PostgreSQL cluster"
        (umask 077 && head -c 24 /dev/urandom | base64 | tr -d '/+=\n' > "$state/password")
        secret=$(mktemp)
        cp "$state/password" "$secret"
        if [ "$(id -u)" -eq 0 ]; then chown postgres "$secret"; fi
        as_postgres "$pg_bin/initdb" -D "$cluster/data" -U perdure -A scram-sha-256 --pwfile="$secret" -E UTF8 --no-instructions > "$state/initdb.log" 2>&1 \
            || { cat "$state/initdb.log" >&2; die "initdb failed"; }
        rm -f "$secret"
    fi
    if as_postgres "$pg_bin/pg_ctl" -D "$cluster/data" status > /dev/null 2>&1; then
        say "the private cluster already runs"
    else
        port_is_free "$pg_port" || die "port $pg_port is taken: set PERDURE_PG_PORT"
        as_postgres "$pg_bin/pg_ctl" -D "$cluster/data" -w -t 60 -l "$cluster/log" \
            -o "-p $pg_port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200" start > /dev/null \
            || { tail -n 5 "$cluster/log" >&2; die "PostgreSQL did not start; its log is $cluster/log"; }
        pg_started=true
    fi
    DATABASE_URL="postgresql://perdure:$(cat "$state/password")@127.0.0.1:$pg_port/perdure"
    export DATABASE_URL
    admin="${DATABASE_URL%/perdure}/postgres"
    if [ "$("$pg_bin/psql" -XAt "$admin" -c "select count(*) from pg_database where datname = 'perdure'")" = 0 ]; then
        "$pg_bin/psql" -Xq "$admin" -c 'create database perdure'
    fi
fi

# --- build and migrate ----------------------------------------------------------------------------------------------------
say "building (the first time takes some minutes)"
for product in perdure account-api transfer-web history-web bank-worker; do
    swift build -c "$build" --product "$product" > "$state/build.log" 2>&1 || { tail -n 40 "$state/build.log" >&2; die "the build of $product failed; all of it is in $shown/build.log"; }
done
bin=$(swift build -c "$build" --show-bin-path)
"$bin/perdure" migrate || exit 1  # It has said why, and what to do.

# --- run --------------------------------------------------------------------------------------------------------------------
paint() { # name colour
    local line
    trap '' INT  # Ctrl-C is for the programs; what they say of it is still to be shown.
    while IFS= read -r line; do
        if $colours; then printf '\033[%sm%-12s\033[0m %s\n' "$2" "$1" "$line"; else printf '%-12s %s\n' "$1" "$line"; fi
    done
}
if $colours; then export FORCE_COLOR=1; fi

start_web() { # name colour
    "$bin/$1" > >(paint "$1" "$2") 2>&1 &
    web_pids+=($!)
}

rm -f "$state"/worker-*
start_web account-api 35
start_web transfer-web 36
start_web history-web 34
# It starts a worker again when it dies, and deploys another build when the page asks for one: the workshop does both.
"$bin/bank-worker" supervise --count "$workers" --pid-files "$state" > >(paint workers 32) 2>&1 &
supervisor_pid=$!

wait_for() { # name url
    for _ in $(seq 200); do
        if curl -fsS -o /dev/null --max-time 2 "$2" 2>/dev/null; then return; fi
        local pid
        for pid in "${web_pids[@]}" "$supervisor_pid"; do kill -0 "$pid" 2>/dev/null || die "$1 did not start; its log is above"; done
        sleep 0.1
    done
    die "$1 does not answer at $2"
}
wait_for account-api "http://$reach:$ACCOUNT_API_PORT/health"
wait_for transfer-web "http://$reach:$TRANSFER_WEB_PORT/"
wait_for history-web "http://$reach:$HISTORY_WEB_PORT/"

say ""
say "  Transfers   http://$reach:$TRANSFER_WEB_PORT"
say "  Histories   http://$reach:$HISTORY_WEB_PORT"
say "  Account API http://$reach:$ACCOUNT_API_PORT"
if $own_database; then say "  psql        psql \"\$(cat $shown/database_url)\""; (umask 077 && printf '%s\n' "$DATABASE_URL" > "$state/database_url"); fi
say "  Workers     $workers; to crash one: kill -9 \$(cat $shown/worker-1.pid), or the page's Break it"
say "  Ctrl-C stops everything and keeps the data."
say ""

# Ends when one of the servers does, or by a signal.
wait -n "${web_pids[@]}" "$supervisor_pid" || true
die "a server ended; its log is above"
