#!/usr/bin/env bash
# Prints how many tests passed and how many failed, as the log of a suite tells. Whatever it tells, a suite that ended
# with another status than 0, or ran no test, counts as one failure at least.
#
#   count.sh LOG STATUS
set -euo pipefail
log=$1 status=$2
sum() { sed -nE "$1" "$log" | awk '{ n += $1 } END { print n + 0 }'; }

# Swift Testing's closing line; without it, as after a crash, the lines of the tests themselves.
ended_well='^.+ Test (".*"|[^ ]+\(.*\)) .*passed after .*'
ended_badly='^.+ Test (".*"|[^ ]+\(.*\)) .*failed after .*'
bad=$(grep -cE "$ended_badly" "$log" || true)
total=$(sum 's/.*Test run with ([0-9]+) tests? .*(passed|failed) after.*/\1/p')
if [ "$total" -gt 0 ]; then good=$((total - bad)); else good=$(grep -cE "$ended_well" "$log" || true); fi

# pytest with and without -q, prove, and our own scripts.
good=$((good + $(sum 's/^(=+ )?(.*, )?([0-9]+) passed.* in [0-9.]+s.*/\3/p
    s/^Files=[0-9]+, Tests=([0-9]+),.*/\1/p; s/^([0-9]+) passed, [0-9]+ failed$/\1/p')))
not_ok=$(sum 's/.*Failed ([0-9]+)\/[0-9]+ subtests.*/\1/p')
good=$((good - not_ok))
bad=$((bad + not_ok + $(sum 's/^(=+ )?([0-9]+) failed.* in [0-9.]+s.*/\2/p; s/^[0-9]+ passed, ([0-9]+) failed$/\1/p')
    + $(sum 's/^(=+ )?(.*, )?([0-9]+) errors? in [0-9.]+s.*/\3/p')))

if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$good" -eq 0 ]; }; then bad=1; fi
echo "$good $bad"
