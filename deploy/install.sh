#!/bin/sh
# Install the dependencies of the service and, if its code is here, the service.
# The build of the image, `make image-check` and CI run this script. The build runs it twice: the
# layer of the dependencies changes with their versions only. Each file that is installed must have a
# hash of requirements.lock, except those of an extra: torch without CUDA has an index of its own.
# usage: install.sh FOLDER [EXTRA]       EXTRA: torchscript
set -eu
folder=$1
extra=${2-}
cd "$(dirname "$0")/.."

[ -d "$folder" ] || python3 -m venv "$folder"
install() {
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir "$@"
}
install --require-hashes --only-binary :all: --no-deps --requirement deploy/requirements.lock
if [ -n "$extra" ]; then
    requirements=$(mktemp)
    "$folder/bin/python" - "$extra" > "$requirements" << 'END'
import sys, tomllib

with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["project"]["optional-dependencies"][sys.argv[1]], sep="\n")
END
    install --constraint constraints.txt --requirement "$requirements"
    rm "$requirements"
fi
[ -d service ] || exit 0

rm -rf build/lib build/bdist.* # setuptools would install the files of earlier builds
install --no-deps --no-build-isolation .
# An image needs no installer.
"$folder/bin/python" -m pip uninstall --quiet --yes setuptools pip
"$folder/bin/python" -c 'import service.app' # a missing dependency fails the build
