#!/bin/sh
# Install the dependencies of the service and, if its code is here, the service.
# The build of the image, `make image-check` and CI run this script. The build runs it twice: the
# layer of the dependencies changes with pyproject.toml and constraints.txt only.
# usage: install.sh FOLDER [EXTRA]       EXTRA: torchscript
set -eu
folder=$1
extra=${2-}
cd "$(dirname "$0")/.."

[ -d "$folder" ] || python3 -m venv "$folder"
install() {
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
        --constraint constraints.txt "$@"
}
requirements=$(mktemp)
"$folder/bin/python" - "$extra" > "$requirements" << 'END'
import sys, tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extra = project["optional-dependencies"][sys.argv[1]] if sys.argv[1] else []
print(*project["dependencies"], *extra, sep="\n")
END
install --requirement "$requirements"
rm "$requirements"
[ -d service ] || exit 0

rm -rf build/lib build/bdist.* # setuptools would install the files of earlier builds
install ".${extra:+[$extra]}"
# An image needs no installer.
"$folder/bin/python" -m pip uninstall --quiet --yes setuptools pip
"$folder/bin/python" -c 'import service.app' # a missing dependency fails the build
