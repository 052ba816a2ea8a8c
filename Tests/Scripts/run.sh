#!/usr/bin/env bash
# Checks the scripts and the style of the sources, and that the scripts refuse what they must.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
passed=0 failed=0
check() { # what command…
    local what=$1
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'not ok: %s\n%s\n' "$what" "$output"
    fi
}
refuses() { # what the message must hold, command…
    local expected=$1
    shift
    if output=$("$@" 2>&1); then echo "it was accepted"; return 1; fi
    case $output in *"$expected"*) ;; *) printf 'it said: %s\n' "$output"; return 1 ;; esac
    [ "$(printf '%s\n' "$output" | wc -l)" -eq 1 ] || { printf 'more than one line: %s\n' "$output"; return 1; }
}

check "shellcheck" shellcheck -x start_services.sh run_tests.sh sql/install.sh \
    Plugins/EmbedSQL/embed.sh .ci/run Tests/*/run.sh Tests/Scripts/count.sh Tests/Scripts/failed.sh \
    Benchmarks/run Benchmarks/endurance Benchmarks/profile Benchmarks/chaos Benchmarks/compare \
    Benchmarks/random-programs
# shellcheck disable=SC2016  # the inner shell expands
check "measurements tell how they are used, and start nothing" timeout 10 bash -c '
    for script in run endurance profile; do
        "Benchmarks/$script" --help | grep -q "PERDURE=/path/to/perdure Benchmarks/$script " ||
            { echo "$script"; exit 1; }
    done'
# shellcheck disable=SC2016  # the inner shell expands
check "the chaos run and the comparison tell how they are used, and start nothing" timeout 10 bash -c '
    Benchmarks/chaos --help | grep -q "PROGRAMS=.build/debug Benchmarks/chaos " &&
        Benchmarks/compare --help | grep -q "Benchmarks/compare OLD NEW " &&
        [ "$(Benchmarks/chaos --list | wc -l)" -gt 30 ]'
check "a chaos run of an unknown kind is refused" refuses "there is no bad run" \
    python3 Benchmarks/chaos.py --poisons nonsense
# A database refuses to go on when a migration that it has is not what it was: not even a comment may change.
# shellcheck disable=SC2016  # the inner shell expands
check "no migration was edited" bash -c '
    for folder in migrations migrations/bank; do
        (cd "$folder" && sha256sum --check --strict --quiet SHA256SUMS) || exit 1
    done'
# shellcheck disable=SC2016  # the inner shell expands
check "every migration is in SHA256SUMS: cd migrations && sha256sum NEW >> SHA256SUMS" bash -c '
    for folder in migrations migrations/bank; do
        diff <(cd "$folder" && ls ./*.sql | cut -c3-) <(sed "s/^[0-9a-f]*  //" "$folder/SHA256SUMS" | sort) || exit 1
    done'
check "swift format" swift format lint --strict --parallel --recursive Package.swift Sources Tests
# shellcheck disable=SC2016  # the inner shell expands
check "every setting that the scripts read is in .env.example" bash -c '
    for name in $(grep -oE "\\$\{(PERDURE|[A-Z]+_(PORT|URL)|LOG)[A-Z_]*" start_services.sh | tr -d "\${" | sort -u); do
        grep -q "$name" .env.example || { echo "$name is missing"; exit 1; }
    done'

check "each test that docs/features.md names is there" python3 Tests/Scripts/features.py
# shellcheck disable=SC2016  # the inner shell expands
check "each function that docs/reference/contract.md lists is there" bash -c '
    for name in $(grep -oE "^[a-z_]+\(" docs/reference/contract.md | tr -d "(" | sort -u); do
        grep -rqE "function (perdure|bank)\.$name\(" sql || { echo "$name is not in sql"; exit 1; }
    done'

# Package.swift says why.
check "no test depends on a macro or on a program" python3 -c '
import json, subprocess, sys
package = json.loads(subprocess.check_output(["swift", "package", "dump-package"]))
kinds = {target["name"]: target["type"] for target in package["targets"]}
tests = [target for target in package["targets"] if target["type"] == "test"]
wrong = [
    test["name"] + " depends on " + name
    for test in tests
    for dependency in test["dependencies"]
    for name in [(dependency.get("byName") or dependency.get("target") or dependency["product"])[0]]
    if kinds.get(name) in ("macro", "executable") or "MacrosTestSupport" in name
]
sys.exit("; ".join(wrong) or not tests)'

# How run_tests.sh counts.
counts() { # expected status line…
    local expected=$1 status=$2 log
    shift 2
    log=$(mktemp)
    printf '%s\n' "$@" > "$log"
    local said
    said=$(Tests/Scripts/count.sh "$log" "$status")
    rm -f "$log"
    [ "$said" = "$expected" ] || { echo "it said $said instead of $expected"; return 1; }
}
check "Swift tests that pass are counted" counts "3 0" 0 '✔ Test "a" passed after 0.1 seconds.' \
    '✔ Test run with 3 tests in 1 suite passed after 1 seconds.'
check "Swift tests that fail are counted" counts "2 1" 1 \
    '✘ Test "a" with 3 test cases failed after 0.1 seconds with 2 issues.' \
    '✘ Test run with 3 tests in 1 suite failed after 1 seconds with 2 issues.'
check "a crash of the Swift tests is a failure" counts "1 1" 139 '✔ Test b() passed after 0.1 seconds.'
check "pytest is counted" counts "5 0" 0 '============ 5 passed in 2.00s ============'
check "pytest's failures are counted" counts "5 2" 1 '======= 2 failed, 5 passed in 2.00s ======='
check "quiet pytest is counted" counts "66 0" 0 '66 passed in 370.49s (0:06:10)'
check "quiet pytest's failures are counted" counts "64 3" 1 '2 failed, 64 passed, 1 error in 70.49s (0:01:10)'
check "pytest's errors are counted" counts "5 1" 1 '======= 5 passed, 1 error in 2.00s ======='
check "pg_prove is counted" counts "50 0" 0 'Files=3, Tests=50,  2 wallclock secs ( 0.02 usr)' 'Result: PASS'
check "pg_prove's failures are counted" counts "48 2" 1 'Failed 2/20 subtests ' \
    'Files=3, Tests=50,  2 wallclock secs ( 0.02 usr)' 'Result: FAIL'
check "our scripts are counted" counts "7 1" 1 '7 passed, 1 failed'
check "a suite that ran nothing is a failure" counts "0 1" 0 'nothing to see'
check "a suite that was killed is a failure" counts "0 1" 124 'and then it hung'

# How run_tests.sh finds what to run again.
fails() { # expected kind line…
    local expected=$1 kind=$2 log
    shift 2
    log=$(mktemp)
    printf '%s\n' "$@" > "$log"
    local said
    said=$(Tests/Scripts/failed.sh "$kind" "$log")
    rm -f "$log"
    [ "$said" = "$expected" ] || { echo "it said $said instead of $expected"; return 1; }
}
check "failed Swift tests are found" fails 'M\.Suite/bad\(_:\)' swift \
    '<testcase classname="M.Suite" name="good()" time="0.1" />' \
    '<testcase classname="M.Suite" name="bad(_:)" time="0.1">' \
    '  <failure message="it &lt; 3" />' '</testcase>' '<testcase classname="M.Suite" name="other()" time="0.1" />'
check "failed SQL tests are found" fails "Tests/SQL/chains.sql" sql 'Tests/SQL/memo.sql .. ok' \
    'Tests/SQL/chains.sql (Wstat: 0 Tests: 2 Failed: 1)' \
    'Tests/SQL/chains.sql (Wstat: 256 (exited 1) Tests: 2 Failed: 0)'
check "failed browser tests are found" fails "Tests/Browser/test_a.py::test_b" browser \
    'FAILED Tests/Browser/test_a.py::test_b[x] - AssertionError: no' '1 failed, 3 passed in 2.00s'
check "failed browser tests whose parameter has spaces are found" fails "Tests/Browser/test_a.py::test_b" browser \
    'FAILED Tests/Browser/test_a.py::test_b[a run-/x[1]] - Error: a [b] - c' \
    'ERROR Tests/Browser/test_a.py::test_b[a run-/x[1]] - AssertionError: [1]' '1 failed, 1 error in 2.00s'
check "failed parts of the conformance programs are found" fails $'--only\ncalls,commands' conformance \
    'not ok start: temporal x' 'conformance: commands FAILED' 'conformance: calls FAILED'
check "failed conformance programs are found" fails $'--only\nprograms\nsignal_with_start' conformance \
    'ok retries' 'not ok signal_with_start' '    history[0]: 6 of Temporal' 'conformance: programs FAILED'
check "a log without failed tests gives nothing to run again" fails "" sql 'Tests/SQL/memo.sql .. ok'

check "an unknown option is refused" refuses "unknown option" ./run_tests.sh --nonsense
check "an unknown version of PostgreSQL is refused" refuses "--postgres takes" ./run_tests.sh --postgres 9
check "an unknown suite is refused" refuses "--only takes" ./run_tests.sh --only nonsense

# A password in an argument is one that everybody on the machine can read.
check "no script gives a password to a program as an argument" \
    bash -c '! grep -nE "postgresql://[^@[:space:]]*:[^@[:space:]]*@.*cat|password=" start_services.sh'

# start_services.sh in a copy of its own, where it can break nothing.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp start_services.sh .env.example "$copy"
check "a wrong count of workers is refused" refuses "PERDURE_WORKERS" env PERDURE_WORKERS=many "$copy/start_services.sh"
check "a wrong build is refused" refuses "PERDURE_BUILD" env PERDURE_BUILD=fast "$copy/start_services.sh"
check "a wrong port is refused" refuses "ACCOUNT_API_PORT" env ACCOUNT_API_PORT=x "$copy/start_services.sh"
port=$(shuf -i 20000-31999 -n 1)
python3 -m http.server --bind 127.0.0.1 "$port" > /dev/null 2>&1 &
server=$!
until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do kill -0 "$server" || break; done
check "a port beyond the last is refused" refuses "TRANSFER_WEB_PORT" \
    env TRANSFER_WEB_PORT=99999 "$copy/start_services.sh"
check "a taken port is named" refuses "port $port is taken" env TRANSFER_WEB_PORT="$port" "$copy/start_services.sh"
kill "$server"
mkdir -p "$copy/.perdure"
echo $$ > "$copy/.perdure/pid"
check "a second start is refused" refuses "already running" "$copy/start_services.sh"
rm "$copy/.perdure/pid"
printf 'not a setting\n' > "$copy/.env"
check "an unreadable .env is refused" refuses ".env" "$copy/start_services.sh"

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
