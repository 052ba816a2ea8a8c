#!/usr/bin/env bash
# Runs the SQL tests: each Tests/SQL/*.sql in a database of its own, a copy of one that psql alone has installed.
#
#   Tests/SQL/run.sh              every file
#   Tests/SQL/run.sh FILE…        only these
#
# PERDURE_TEST_DATABASE_URL names a server and a superuser. JOBS files run at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

url=${PERDURE_TEST_DATABASE_URL:-postgresql://postgres@127.0.0.1:55432/postgres}
for program in psql prove; do
    command -v "$program" > /dev/null ||
        { echo "Tests/SQL/run.sh: there is no $program: install postgresql-client and perl" >&2; exit 2; }
done

in_database() { # database psql-arguments…
    local at="$url dbname=$1"
    case $url in *://*\?*) at="$url&dbname=$1" ;; *://*) at="$url?dbname=$1" ;; esac
    shift
    psql -X -q -v ON_ERROR_STOP=1 -d "$at" "$@"
}

# One file in a copy of the installed database. This is what prove executes.
if [ -n "${SQL_TEST_TEMPLATE:-}" ]; then
    database="${SQL_TEST_TEMPLATE}_$(basename "$1" .sql)"
    trap 'psql -X -q -d "$url" -c "drop database if exists $database with (force)"' EXIT
    psql -X -q -v ON_ERROR_STOP=1 -d "$url" -c "create database $database template $SQL_TEST_TEMPLATE"
    # pgTAP stands in a schema of its own, out of the way of what is tested.
    PGOPTIONS="-c search_path=public,tap -c client_min_messages=warning"
    export PGOPTIONS="$PGOPTIONS${SQL_TEST_MANY:+ -c perdure.many=$SQL_TEST_MANY}"
    in_database "$database" -A -t -P pager=off -f "$1"
    exit
fi

if [ $# -eq 0 ]; then set -- Tests/SQL/*.sql; fi
export SQL_TEST_TEMPLATE="perdure_sql_$$" PERDURE_TEST_DATABASE_URL=$url
trap 'psql -X -q -d "$url" -c "drop database if exists $SQL_TEST_TEMPLATE with (force)"' EXIT
psql -X -q -v ON_ERROR_STOP=1 -d "$url" -c "create database $SQL_TEST_TEMPLATE template template0 encoding 'UTF8'"
in_database "$SQL_TEST_TEMPLATE" -f sql/install.psql -f sql/install_bank.psql > /dev/null
in_database "$SQL_TEST_TEMPLATE" -c 'create schema tap' \
    -c 'create extension pgtap schema tap' -c 'create extension dblink schema tap'
# Made for a version of the server: where it is not there for this one, all else is tested.
if [ "$(in_database "$SQL_TEST_TEMPLATE" -A -t -c "
        select count(*) from pg_available_extensions where name = 'plpgsql_check'")" = 1 ]; then
    in_database "$SQL_TEST_TEMPLATE" -c 'create extension plpgsql_check schema tap'
else
    rest=()
    for file in "$@"; do [ "$(basename "$file")" = plpgsql_check.sql ] || rest+=("$file"); done
    set -- "${rest[@]}"
    echo "# there is no plpgsql_check here: Tests/SQL/plpgsql_check.sql is left out"
fi

status=0
prove --failures --comments --jobs "${JOBS:-4}" --exec "$PWD/Tests/SQL/run.sh" "$@" || status=$?
# What is done in two ways, for few rows and for many, is tested in both: most tests have one row at a time.
both=()
for file in "$@"; do
    case $(basename "$file" .sql) in
        activity_tasks | fused_steps | histories | signals_and_endings | stored_events | workflow_tasks)
            both+=("$file") ;;
    esac
done
if [ ${#both[@]} -gt 0 ]; then
    SQL_TEST_MANY=1 prove --failures --comments --jobs "${JOBS:-4}" --exec "$PWD/Tests/SQL/run.sh" "${both[@]}" ||
        status=$?
fi
exit $status
