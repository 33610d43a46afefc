#!/bin/sh
# Test the image without a container engine: run its install script, and start the service as an
# unprivileged user with a read-only store.
# Exit with 1 if the installation is too large or the service does not become ready.
set -eu
cd "$(dirname "$0")/.."
limit_mb=250
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
chmod 755 "$work"

echo "Installing with the script of the image"
sh deploy/install.sh "$work/latentd"
size_mb=$(du -sm "$work/latentd" | cut -f1)
echo "Installed size: $size_mb MB (limit $limit_mb MB)"
[ "$size_mb" -le "$limit_mb" ] || { echo "The installation exceeds $limit_mb MB" >&2; exit 1; }
for heavy in torch scipy sklearn onnx; do
    ! "$work/latentd/bin/python" -c "import $heavy" 2>/dev/null ||
        { echo "Expected an installation without $heavy" >&2; exit 1; }
done

if [ -n "${SBOM:-}" ]; then
    mkdir -p "$(dirname "$SBOM")"
    "$VENV/bin/cyclonedx-py" environment --pyproject pyproject.toml --output-reproducible \
        --of JSON -o "$SBOM" "$work/latentd/bin/python"
    echo "Wrote the list of packages to $SBOM (CycloneDX)"
fi

cp -r models_store "$work/models_store"
chmod -R a-w "$work/models_store"
run_as=
[ "$(id -u)" -ne 0 ] || run_as="setpriv --reuid 10001 --regid 10001 --clear-groups"
export LATENTD_HOST=127.0.0.1 LATENTD_PORT="${LATENTD_PORT:-8471}" \
    LATENTD_MODELS_STORE="$work/models_store" PYTHONDONTWRITEBYTECODE=1
echo "Starting the service with the settings of the image"
cd /
$run_as "$work/latentd/bin/latentd" serve &
server=$!
tries=50
until health=$("$work/latentd/bin/python" "$OLDPWD/deploy/health.py" 2>&1); do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "The service did not become ready: $health" >&2; exit 1; }
    sleep 0.2
done
for file in "" playground/main.js playground/fonts/newsreader.woff2 swagger-ui.css; do
    "$work/latentd/bin/python" -c "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])" \
        "http://$LATENTD_HOST:$LATENTD_PORT/${file:+static/$file}" ||
        { echo "Expected the file ${file:-index.html} of the web page" >&2; exit 1; }
done
kill "$server"
wait "$server" || [ $? -eq 143 ]
server=
echo "The service became ready and stopped"
