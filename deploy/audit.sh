#!/bin/sh
# Look up the pinned packages in the vulnerability database osv.dev, or in a file of it.
# Exit with 1 if a package has a known vulnerability, and with 2 if the file cannot be used. Report
# an unreachable database and exit with 0, so that the audit also runs offline.
# usage: VENV=.venv [DATABASE=all.zip] audit.sh [PINS]
#   DATABASE: the archive PyPI/all.zip of osv.dev
set -eu
cd "$(dirname "$0")/.."
if [ -n "${DATABASE:-}" ]; then
    exec "${VENV:-.venv}/bin/python" deploy/audit_file.py "$DATABASE" "${1:-constraints.txt}"
fi
report=$(mktemp)
trap 'rm -f "$report" "$report.log"' EXIT
status=0
timeout 300 "${VENV:-.venv}/bin/pip-audit" --requirement "${1:-constraints.txt}" --disable-pip \
    --no-deps --vulnerability-service osv --timeout 15 --progress-spinner off \
    --format json --output "$report" 2>"$report.log" || status=$?
if [ ! -s "$report" ]; then # pip-audit writes the report only after the last response
    echo "NOT AUDITED, osv.dev did not respond: $(tail -n 1 "$report.log")"
    echo "Without network access pass a copy of the database: make audit DATABASE=all.zip"
elif [ "$status" -ne 0 ]; then
    cat "$report" "$report.log" >&2
    exit 1
else
    echo "No package has a known vulnerability"
fi
