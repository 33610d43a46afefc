#!/bin/sh
# Install the service and its dependencies into a new virtual environment.
# The build of the image, `make image-check` and CI run this script.
# usage: install.sh FOLDER [EXTRA]       EXTRA: torchscript
set -eu
folder=$1
extra=${2:+[$2]}
cd "$(dirname "$0")/.."

rm -rf build/lib build/bdist.* # setuptools would install the files of earlier builds
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
    --constraint constraints.txt ".$extra"
# An image needs no installer.
"$folder/bin/python" -m pip uninstall --quiet --yes setuptools pip
"$folder/bin/python" -c 'import service.app' # a missing dependency fails the build
