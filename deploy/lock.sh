#!/bin/sh
# Write deploy/requirements.lock: the packages of the image, in the versions of constraints.txt, with
# the hashes of their files. Run it after a change of constraints.txt or of the dependencies.
# usage: lock.sh
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uv
sed -n 's/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml > "$work/build.in" # builds latentd itself
"$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-annotate --constraint constraints.txt --custom-compile-command "sh deploy/lock.sh" \
    --output-file "$work/requirements.lock" pyproject.toml "$work/build.in"
mv "$work/requirements.lock" deploy/requirements.lock
