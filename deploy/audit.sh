#!/bin/sh
# Look up the pinned packages in the vulnerability database osv.dev.
# Exit with 1 if a package has a known vulnerability. Report an unreachable database and exit with
# 0, so that the audit also runs offline.
# usage: VENV=.venv audit.sh [PINS]
set -eu
cd "$(dirname "$0")/.."
report=$(mktemp)
trap 'rm -f "$report" "$report.log"' EXIT
status=0
timeout 300 "${VENV:-.venv}/bin/pip-audit" --requirement "${1:-constraints.txt}" --disable-pip \
    --no-deps --vulnerability-service osv --timeout 15 --progress-spinner off \
    --format json --output "$report" 2>"$report.log" || status=$?
if [ ! -s "$report" ]; then # pip-audit writes the report only after the last response
    echo "The packages could not be audited: $(tail -n 1 "$report.log")"
elif [ "$status" -ne 0 ]; then
    cat "$report" "$report.log" >&2
    exit 1
else
    echo "No package has a known vulnerability"
fi
