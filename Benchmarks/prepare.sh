# Sourced by run, endurance and profile: finds the programs, and starts a private PostgreSQL server that is gone
# afterwards. Sets: perdure, server (its address without a database), pg_bin, settings. Reads: preload, a library for
# the server to load.
die() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }

# What the script itself says of its use, before anything is built or started.
case " $* " in *" --help "* | *" -h "*) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit ;; esac

command -v python3 > /dev/null || die "there is no python3 here: apt-get install python3-venv"
pg_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2> /dev/null | sort -Vr | head -n 1)
[ -n "$pg_bin" ] || die "there is no PostgreSQL server here: apt-get install postgresql"
[ -x "$pg_bin/pgbench" ] || die "there is no pgbench here: apt-get install postgresql-contrib"

venv=.build/benchmarks-venv
if ! "$venv/bin/python" -c 'import absurd_sdk, dbos, psycopg' 2> /dev/null; then
    echo "Installing the peers from PyPI"
    python3 -m venv "$venv" || die "python3 cannot make a virtual environment: apt-get install python3-venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r Benchmarks/requirements.txt ||
        die "pip could not install Benchmarks/requirements.txt"
fi

# A program that is built already can be given: PERDURE=/path/to/perdure.
perdure=${PERDURE:-}
if [ -z "$perdure" ]; then
    command -v swift > /dev/null ||
        die "there is no Swift here: install Swift 6, or give a program with PERDURE=/path/to/perdure"
    echo "Building in release (several minutes the first time; the log is .build/benchmarks-build.log)"
    swift build -c release --product perdure > .build/benchmarks-build.log 2>&1 ||
        { tail -n 30 .build/benchmarks-build.log >&2; die "the build failed"; }
    perdure=$(swift build -c release --show-bin-path)/perdure
fi
[ -x "$perdure" ] || die "there is no program $perdure"

# shellcheck source=Benchmarks/server.sh
. Benchmarks/server.sh
