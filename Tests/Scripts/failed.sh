#!/usr/bin/env bash
# Prints what to give to a suite so that it runs only the tests that failed, one argument a line. Prints nothing if the
# log does not name them.
#
#   failed.sh swift XUNIT | sql LOG | browser LOG | conformance LOG
set -euo pipefail
case $1 in
    # <testcase classname="Module.Suite" name="test()" time="1"><failure …
    # as the regular expression Module.Suite/test\(\)
    swift)
        tr '\n' ' ' < "$2" | sed 's/<testcase /\n&/g' | grep '<failure' \
            | sed -nE 's/.*classname="([^"]*)" name="([^"]*)".*/\1\/\2/p' \
            | sed -e 's/&quot;/"/g; s/&apos;/'"'"'/g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g' \
                -e 's/[][\.*^$?+(){}|]/\\&/g' \
            | sort -u || true ;;
    # Tests/SQL/chains.sql (Wstat: 0 Tests: 20 Failed: 1)
    sql) sed -nE 's/^(Tests\/SQL\/[a-z0-9_]+\.sql) +\(Wstat: .*/\1/p' "$2" | sort -u ;;
    # FAILED Tests/Browser/test_services.py::test_start[a b] - AssertionError: …  as the whole function, with every
    # parameter, because a parameter may have spaces and brackets
    browser) sed -nE 's/^(FAILED|ERROR) ([^ ]+\.py::[^][ ]+).*/\2/p' "$2" | sort -u ;;
    # conformance: commands FAILED, or not ok signal_with_start and conformance: programs FAILED
    conformance)
        parts=$(sed -nE 's/^conformance: ([a-z]+) FAILED$/\1/p' "$2" | sort -u | paste -sd,)
        if [ -n "$parts" ]; then printf '%s\n' --only "$parts"; fi
        if [ "$parts" = programs ]; then sed -nE 's/^not ok ([a-z0-9_]+)$/\1/p' "$2" | sort -u; fi ;;
esac
