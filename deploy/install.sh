#!/bin/sh
# Installs latentd for serving, and nothing else, into a new virtual environment.
# The image's build, `make image-check` and CI run this same script.
# usage: install.sh FOLDER [EXTRA]       EXTRA: torchscript
set -eu
folder=$1
extra=${2:+[$2]}
cd "$(dirname "$0")/.."

rm -rf build/lib build/bdist.* # setuptools would install whatever an earlier build left there
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
    --constraint constraints.txt ".$extra"
# Nothing is installed into an image later.
"$folder/bin/python" -m pip uninstall --quiet --yes setuptools pip
"$folder/bin/python" -c 'import service.app' # fails the build, not the first start
