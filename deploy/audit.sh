#!/bin/sh
# Looks the pinned packages up in the database of known flaws (osv.dev) and fails where one has a
# flaw. Where the database cannot be reached it says so and passes: no network is no flaw.
# usage: VENV=.venv audit.sh [PINS]
set -eu
cd "$(dirname "$0")/.."
report=$(mktemp)
trap 'rm -f "$report" "$report.log"' EXIT
status=0
timeout 300 "${VENV:-.venv}/bin/pip-audit" --requirement "${1:-constraints.txt}" --disable-pip \
    --no-deps --vulnerability-service osv --timeout 15 --progress-spinner off \
    --format json --output "$report" 2>"$report.log" || status=$?
if [ ! -s "$report" ]; then # it reports after the last answer, with flaws or without
    echo "The packages could not be audited: $(tail -n 1 "$report.log")"
elif [ "$status" -ne 0 ]; then
    cat "$report" "$report.log" >&2
    exit 1
else
    echo "No package has a known flaw"
fi
