#!/usr/bin/env bash
# Runs every test: Swift, SQL, the browser and the scripts. Installs what is missing on Debian or Ubuntu, and uses a
# PostgreSQL cluster of its own that is gone afterwards.
#
#   ./run_tests.sh                       everything
#   ./run_tests.sh --only swift          one of: swift, sql, browser, scripts
#   ./run_tests.sh --only swift --filter NAME
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

only='' filter=''
while [ $# -gt 0 ]; do
    case $1 in
        --only) only=${2:?--only takes swift, sql, browser or scripts}; shift 2 ;;
        --filter) filter=${2:?--filter takes a part of the name of a test}; shift 2 ;;
        *) echo "run_tests.sh: unknown option $1; see the top of this file" >&2; exit 2 ;;
    esac
done
case $only in '' | swift | sql | browser | scripts) ;; *) echo "run_tests.sh: --only takes swift, sql, browser or scripts" >&2; exit 2 ;; esac
wanted() { [ -z "$only" ] || [ "$only" = "$1" ]; }
say() { printf '\n== %s\n' "$*"; }

# --- what is missing ------------------------------------------------------------------------------------------------
command -v swift > /dev/null || { echo "run_tests.sh: there is no Swift here: install Swift 6" >&2; exit 1; }
missing=()
need() { # package, test for its presence
    local package=$1
    shift
    "$@" > /dev/null 2>&1 || missing+=("$package")
}
find_pg_bin() { find /usr/lib/postgresql -maxdepth 2 -name bin 2> /dev/null | sort -Vr | head -n 1; }
need postgresql test -n "$(find_pg_bin)"
need libpq-dev test -f /usr/include/postgresql/libpq-fe.h
need libjemalloc-dev test -f /usr/include/jemalloc/jemalloc.h
need pkg-config command -v pkg-config
need curl command -v curl
need shellcheck command -v shellcheck
need chromium command -v chromium
need python3-venv python3 -c 'import ensurepip, venv'
need iproute2 command -v ss
need openssl test -x /usr/bin/openssl
need pgbouncer test -x /usr/sbin/pgbouncer
install() {
    [ $# -gt 0 ] || return 0
    command -v apt-get > /dev/null || { echo "run_tests.sh: please install: $*" >&2; exit 1; }
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" > /dev/null
}
if [ ${#missing[@]} -gt 0 ]; then say "installing ${missing[*]}"; install "${missing[@]}"; fi
pg_bin=$(find_pg_bin)
pg_major=$(basename "$(dirname "$pg_bin")")
missing=()
need "postgresql-$pg_major-pgtap" test -f "/usr/share/postgresql/$pg_major/extension/pgtap.control"
need "postgresql-$pg_major-plpgsql-check" test -f "/usr/share/postgresql/$pg_major/extension/plpgsql_check.control"
need libtap-parser-sourcehandler-pgtap-perl command -v pg_prove
if [ ${#missing[@]} -gt 0 ]; then say "installing ${missing[*]}"; install "${missing[@]}"; fi

# --- a cluster for the tests -----------------------------------------------------------------------------------------
work=$(mktemp -d)
chmod 755 "$work"
if [ "$(id -u)" -eq 0 ]; then chown postgres "$work"; fi
as_postgres() { if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
running=''
stop() {
    if [ -n "$running" ]; then kill "$running" 2> /dev/null || true; fi
    as_postgres "$pg_bin/pg_ctl" -D "$work/data" -m immediate -w stop > /dev/null 2>&1 || true
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
port=0
for candidate in $(shuf -i 20000-32000 -n 50); do
    if ! (exec 3<> "/dev/tcp/127.0.0.1/$candidate") 2> /dev/null; then port=$candidate; break; fi
done
as_postgres "$pg_bin/initdb" -D "$work/data" -U postgres -A trust -E UTF8 --no-instructions > "$work/initdb.log" 2>&1 || { cat "$work/initdb.log"; exit 1; }
as_postgres "$pg_bin/pg_ctl" -D "$work/data" -w -l "$work/log" -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' \
    -c max_connections=400 -c fsync=off -c shared_buffers=256MB -c max_wal_size=4GB" start > /dev/null
export PERDURE_TEST_DATABASE_URL="postgresql://postgres@127.0.0.1:$port/postgres"
export PERDURE_PG_BIN=$pg_bin

# --- the suites --------------------------------------------------------------------------------------------------------
passed=0 failed=0
suite() { # name limit command…
    local name=$1 limit=$2 status=0 good bad
    shift 2
    say "$name"
    # A suite that hangs is killed with all that it started. A file and not a pipe, which whoever is left behind would
    # keep open.
    timeout --kill-after=20 "$limit" "$@" > "$work/suite.log" 2>&1 &
    running=$!
    tail -n +1 -s 0.2 -f --pid="$running" "$work/suite.log" &
    local shown=$!
    wait "$running" || status=$?
    running=''
    wait "$shown" || true
    read -r good bad < <(Tests/Scripts/count.sh "$work/suite.log" "$status")
    passed=$((passed + good)) failed=$((failed + bad))
    case $status in
        0) if [ "$bad" -ne 0 ]; then echo "$name ran no test"; fi ;;
        124 | 137) echo "$name FAILED: it took more than $limit" ;;
        *) echo "$name FAILED (status $status)" ;;
    esac
}

if wanted scripts; then suite "Scripts" 5m Tests/Scripts/run.sh; fi
if wanted sql; then suite "SQL" 10m Tests/SQL/run.sh; fi
built=true
if wanted swift || wanted browser; then
    say "Building"
    if ! timeout --kill-after=20 25m swift build --build-tests 2>&1 | { grep --line-buffered -vE '^\[[0-9]+/[0-9]+\]' || true; }; then
        built=false failed=$((failed + 1))
        echo "the build FAILED"
    fi
fi
if $built && wanted swift; then
    suite "Swift" 15m swift test --skip-build --disable-xctest ${filter:+--filter "$filter"}
fi
if $built && wanted browser; then suite "Browser" 20m Tests/Browser/run.sh ${filter:+-k "$filter"}; fi

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
