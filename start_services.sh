#!/usr/bin/env bash
# Starts everything: the database, the account API, the transfer page, the history pages and the workers. Ctrl-C stops
# it all.
#
#   ./start_services.sh             what is written in Swift
#   ./start_services.sh --python    and the transfer in Python (Examples/python-transfer), with Temporal's SDK from PyPI
#
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

python=false
for argument in "$@"; do
    case $argument in
        --python) python=true ;;
        *) die "unknown argument $argument: there is --python, and settings are in the environment or .env" ;;
    esac
done

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
export ACCOUNT_API_PORT=${ACCOUNT_API_PORT:-5000} TRANSFER_WEB_PORT=${TRANSFER_WEB_PORT:-5001}
export HISTORY_WEB_PORT=${HISTORY_WEB_PORT:-8080} PERDURE_FRONTEND_PORT=${PERDURE_FRONTEND_PORT:-7233}
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
for setting in ACCOUNT_API_PORT TRANSFER_WEB_PORT HISTORY_WEB_PORT PERDURE_FRONTEND_PORT; do
    check_port "$setting" "${!setting}"
done

# --- one at a time ---------------------------------------------------------------------------------------------------
mkdir -p "$state"
if [ -f "$state/pid" ] && kill -0 "$(cat "$state/pid")" 2>/dev/null; then
    die "already running, as process $(cat "$state/pid"): stop that with Ctrl-C first"
fi

port_is_free() { ! (exec 3<> "/dev/tcp/$reach/$1") 2>/dev/null; }
for setting in ACCOUNT_API_PORT TRANSFER_WEB_PORT HISTORY_WEB_PORT PERDURE_FRONTEND_PORT; do
    port=${!setting}
    port_is_free "$port" || {
        owner=$( (ss -Hltnp "sport = :$port" 2>/dev/null || true) \
            | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/ by \1, process \2/p')
        die "port $port is taken$owner: free it, or set $setting"
    }
done

# --- what is missing ------------------------------------------------------------------------------------------------
command -v swift > /dev/null || die "there is no Swift here: install Swift 6 from https://www.swift.org/install"
own_database=false
if [ -z "${DATABASE_URL:-}" ] && [ -z "${PGHOST:-}${PGSERVICE:-}${PGDATABASE:-}" ]; then own_database=true; fi

find_pg_bin() {
    local folder
    for folder in ${PERDURE_PG_BIN:+"$PERDURE_PG_BIN"} \
        $(find /usr/lib/postgresql -maxdepth 2 -name bin 2> /dev/null | sort -Vr) \
        "$(dirname "$(command -v initdb 2>/dev/null || echo /nowhere/x)")"; do
        if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then echo "$folder"; return; fi
    done
}
missing=()
[ -f /usr/include/postgresql/libpq-fe.h ] || [ -f /usr/include/libpq-fe.h ] || missing+=(libpq-dev)
[ -f /usr/include/jemalloc/jemalloc.h ] || missing+=(libjemalloc-dev)
command -v pkg-config > /dev/null || missing+=(pkg-config)
command -v curl > /dev/null || missing+=(curl)
if $own_database && [ -z "$(find_pg_bin)" ]; then missing+=(postgresql); fi
if $python && ! python3 -c 'import ensurepip, venv' 2> /dev/null; then missing+=(python3-venv); fi
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get > /dev/null || die "please install: ${missing[*]}"
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo > /dev/null || die "please install, as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    { "${as_root[@]}" apt-get update -qq \
        && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" > /dev/null; } \
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

# --- the logins of the private cluster -------------------------------------------------------------------------------
# The programs connect as members of the roles that they need; the owner, a superuser, is for migrations and for psql.
# Passwords stand in a file that only we can read, and which the connection strings name, never in arguments, which all
# can see.
programs=(account_api transfer_web history_web bank_worker perdure_frontend)

make_logins() {
    local name
    (umask 077 && touch "$state/pgpass") && chmod 600 "$state/pgpass"
    {
        printf '127.0.0.1:%s:*:perdure:%s\n' "$pg_port" "$(cat "$state/password")"
        for name in "${programs[@]}"; do
            printf '127.0.0.1:%s:*:%s:%s\n' "$pg_port" "$name" "$(head -c 24 /dev/urandom | base64 | tr -d '/+=\n')"
        done
    } > "$state/pgpass"
}

login_url() { # role database
    local path=$state/pgpass encoded='' char i
    for ((i = 0; i < ${#path}; i++)); do
        char=${path:i:1}
        case $char in
            [A-Za-z0-9/._~-]) encoded+=$char ;;
            *) encoded+=$(printf %s "$char" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%') ;;
        esac
    done
    printf 'postgresql://%s@127.0.0.1:%s/%s?passfile=%s' "$1" "$pg_port" "$2" "$encoded"
}

# After the migrations, which make the roles of which these become members.
grant_logins() {
    local name
    for name in "${programs[@]}"; do
        printf "select format('create role %%I login', '%s') " "$name"
        printf "where not exists (select from pg_roles where rolname = '%s') \\gexec\n" "$name"
        printf "alter role %s login password '%s';\n" "$name" \
            "$(sed -n "s/^[^:]*:[^:]*:[^:]*:$name://p" "$state/pgpass")"
    done | "$pg_bin/psql" -Xq -v ON_ERROR_STOP=1 -f - "$DATABASE_URL" > /dev/null
    "$pg_bin/psql" -Xq -v ON_ERROR_STOP=1 "$DATABASE_URL" \
        -c 'grant bank_api to account_api' -c 'grant perdure_worker, bank_page to transfer_web' \
        -c 'grant perdure_worker to history_web, perdure_frontend' \
        -c 'grant perdure_worker, bank_supervisor to bank_worker'
}

# --- the database -----------------------------------------------------------------------------------------------------
if $own_database; then
    pg_bin=$(find_pg_bin)
    [ -n "$pg_bin" ] || die "there is no PostgreSQL server here: apt-get install postgresql, or set DATABASE_URL"
    cluster=$state/postgres
    if [ "$(id -u)" -eq 0 ] && ! {
        mkdir -p "$cluster" && chown postgres "$cluster" && runuser -u postgres -- test -x "$cluster"
    } 2>/dev/null; then
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
        as_postgres "$pg_bin/initdb" -D "$cluster/data" -U perdure -A scram-sha-256 --pwfile="$secret" \
            -E UTF8 --no-instructions > "$state/initdb.log" 2>&1 \
            || { cat "$state/initdb.log" >&2; die "initdb failed"; }
        rm -f "$secret"
    fi
    if as_postgres "$pg_bin/pg_ctl" -D "$cluster/data" status > /dev/null 2>&1; then
        say "the private cluster already runs"
    else
        port_is_free "$pg_port" || die "port $pg_port is taken: set PERDURE_PG_PORT"
        as_postgres "$pg_bin/pg_ctl" -D "$cluster/data" -w -t 60 -l "$cluster/log" \
            -o "-p $pg_port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200" start \
            > /dev/null || { tail -n 5 "$cluster/log" >&2; die "PostgreSQL did not start; its log is $cluster/log"; }
        pg_started=true
    fi
    make_logins
    DATABASE_URL=$(login_url perdure perdure)
    export DATABASE_URL
    (umask 077 && printf '%s\n' "$DATABASE_URL" > "$state/database_url")
    if [ "$("$pg_bin/psql" -XAt "$(login_url perdure postgres)" \
        -c "select count(*) from pg_database where datname = 'perdure'")" = 0 ]; then
        "$pg_bin/psql" -Xq "$(login_url perdure postgres)" -c 'create database perdure'
    fi
fi

# --- build and migrate ------------------------------------------------------------------------------------------------
say "building (the first time takes some minutes)"
for product in perdure account-api transfer-web history-web bank-worker perdure-frontend; do
    swift build -c "$build" --product "$product" > "$state/build.log" 2>&1 || {
        tail -n 40 "$state/build.log" >&2
        die "the build of $product failed; all of it is in $shown/build.log"
    }
done
bin=$(swift build -c "$build" --show-bin-path)
"$bin/perdure" migrate || exit 1  # It has said why, and what to do.
"$bin/bank-worker" migrate || exit 1
if $own_database; then
    grant_logins
    for program in "${programs[@]}"; do
        setting=${program^^}_DATABASE_URL
        export "$setting=$(login_url "$program" perdure)"
    done
fi
# On a database of yours, each may have a connection string of its own.
ACCOUNT_API_DATABASE_URL=${ACCOUNT_API_DATABASE_URL:-${DATABASE_URL:-}}
TRANSFER_WEB_DATABASE_URL=${TRANSFER_WEB_DATABASE_URL:-${DATABASE_URL:-}}
HISTORY_WEB_DATABASE_URL=${HISTORY_WEB_DATABASE_URL:-${DATABASE_URL:-}}
BANK_WORKER_DATABASE_URL=${BANK_WORKER_DATABASE_URL:-${DATABASE_URL:-}}
PERDURE_FRONTEND_DATABASE_URL=${PERDURE_FRONTEND_DATABASE_URL:-${DATABASE_URL:-}}

if $python && ! "$state/python/bin/python" -c 'import temporalio' 2> /dev/null; then
    say "installing Temporal's Python SDK in $shown/python"
    {
        python3 -m venv "$state/python" && "$state/python/bin/pip" install --quiet --disable-pip-version-check \
            -r Examples/python-transfer/requirements.txt
    } > "$state/pip.log" 2>&1 || {
        tail -n 20 "$state/pip.log" >&2
        die "the SDK could not be installed; all of it is in $shown/pip.log"
    }
fi

# --- run --------------------------------------------------------------------------------------------------------------
paint() { # name colour
    local line
    trap '' INT  # Ctrl-C is for the programs; what they say of it is still to be shown.
    while IFS= read -r line; do
        if $colours; then
            printf '\033[%sm%-16s\033[0m %s\n' "$2" "$1" "$line"
        else
            printf '%-16s %s\n' "$1" "$line"
        fi
    done
}
if $colours; then export FORCE_COLOR=1; fi

start_web() { # name colour database
    DATABASE_URL=$3 "$bin/$1" > >(paint "$1" "$2") 2>&1 &
    web_pids+=($!)
}

rm -f "$state"/worker-*
start_web account-api 35 "$ACCOUNT_API_DATABASE_URL"
start_web transfer-web 36 "$TRANSFER_WEB_DATABASE_URL"
start_web history-web 34 "$HISTORY_WEB_DATABASE_URL"
start_web perdure-frontend 33 "$PERDURE_FRONTEND_DATABASE_URL"
# It starts a worker again when it dies, and deploys another build when the page asks for one: the workshop does both.
DATABASE_URL=$BANK_WORKER_DATABASE_URL "$bin/bank-worker" supervise --count "$workers" --pid-files "$state" \
    > >(paint workers 32) 2>&1 &
supervisor_pid=$!

wait_for() { # name url
    for _ in $(seq 200); do
        if curl -fsS -o /dev/null --max-time 2 "$2" 2>/dev/null; then return; fi
        local pid
        for pid in "${web_pids[@]}" "$supervisor_pid"; do
            kill -0 "$pid" 2>/dev/null || die "$1 did not start; its log is above"
        done
        sleep 0.1
    done
    die "$1 does not answer at $2"
}
wait_for account-api "http://$reach:$ACCOUNT_API_PORT/health"
wait_for transfer-web "http://$reach:$TRANSFER_WEB_PORT/"
wait_for history-web "http://$reach:$HISTORY_WEB_PORT/"
if $python; then
    for _ in $(seq 200); do
        if (exec 3<> "/dev/tcp/127.0.0.1/$PERDURE_FRONTEND_PORT") 2> /dev/null; then break; fi
        sleep 0.1
    done
    # A key that the frontend asks for comes from the environment: TEMPORAL_API_KEY.
    TEMPORAL_ADDRESS=${TEMPORAL_ADDRESS:-127.0.0.1:$PERDURE_FRONTEND_PORT} PYTHONUNBUFFERED=1 \
        "$state/python/bin/python" Examples/python-transfer/worker.py > >(paint python-worker 31) 2>&1 &
    web_pids+=($!)
fi

say ""
say "  Transfers   http://$reach:$TRANSFER_WEB_PORT"
say "  Histories   http://$reach:$HISTORY_WEB_PORT"
say "  Account API http://$reach:$ACCOUNT_API_PORT"
if $python; then
    say "  In Python   $shown/python/bin/python Examples/python-transfer/starter.py account_A account_B 25.00"
fi
say "  Temporal's SDKs and command line: ${PERDURE_FRONTEND_HOST:-127.0.0.1}:$PERDURE_FRONTEND_PORT"
if $own_database; then say "  psql        psql \"\$(cat $shown/database_url)\""; fi
say "  Workers     $workers; to crash one: kill -9 \$(cat $shown/worker-1.pid), or the page's Break it"
say "  Ctrl-C stops everything and keeps the data."
say ""

# Ends when one of the servers does, or by a signal.
wait -n "${web_pids[@]}" "$supervisor_pid" || true
die "a server ended; its log is above"
