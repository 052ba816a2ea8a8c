#!/usr/bin/env bash
# Runs the browser tests: Playwright from PyPI drives the system's Chromium.
#
#   Tests/Browser/run.sh            starts everything by ./start_services.sh on ports of its own, tests, stops it
#   Tests/Browser/run.sh Tests/Browser/test_services.py::test_…   only this file or test
#   TRANSFER_WEB_URL=http://… Tests/Browser/run.sh -k page     tests what runs already
#
# Screenshots go to .build/screenshots.
set -euo pipefail
cd "$(dirname "$0")/../.."

chromium="$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)"
if [ -z "$chromium" ]; then
    echo "browser tests: no Chromium here; on Debian: apt-get install chromium" >&2
    exit 1
fi
export CHROMIUM="$chromium"

venv=.build/browser-venv
if ! "$venv/bin/python" -c 'import playwright, pytest, axe_playwright_python' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r Tests/Browser/requirements.txt
fi
where=(Tests/Browser)
for argument in "$@"; do case $argument in Tests/*) where=() ;; esac; done
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider "${where[@]}" "$@"
