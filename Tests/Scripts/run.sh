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

check "shellcheck" shellcheck start_services.sh run_tests.sh sql/install.sh .ci/run Tests/*/run.sh
check "swift format" swift format lint --strict --parallel --recursive Package.swift Sources Tests
# shellcheck disable=SC2016  # the inner shell expands
check "every setting that the scripts read is in .env.example" bash -c '
    for name in $(grep -oE "\\$\{(PERDURE|[A-Z]+_(PORT|URL)|LOG)[A-Z_]*" start_services.sh | tr -d "\${" | sort -u); do
        grep -q "$name" .env.example || { echo "$name is missing"; exit 1; }
    done'

# start_services.sh in a copy of its own, where it can break nothing.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp start_services.sh .env.example "$copy"
check "a wrong count of workers is refused" refuses "PERDURE_WORKERS" env PERDURE_WORKERS=many "$copy/start_services.sh"
check "a wrong build is refused" refuses "PERDURE_BUILD" env PERDURE_BUILD=fast "$copy/start_services.sh"
check "a wrong port is refused" refuses "ACCOUNT_API_PORT" env ACCOUNT_API_PORT=x "$copy/start_services.sh"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
python3 -m http.server --bind 127.0.0.1 "$port" > /dev/null 2>&1 &
server=$!
until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do kill -0 "$server" || break; done
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
