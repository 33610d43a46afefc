#!/bin/sh
# Does what the image's build does and starts what the image starts, without a container engine:
# the same install script, a user without rights, a store that cannot be written.
# Fails where the install is over its size or the service does not get ready.
set -eu
cd "$(dirname "$0")/.."
most_mb=250
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
chmod 755 "$work"

echo "Installing as the image does"
sh deploy/install.sh "$work/latentd"
size_mb=$(du -sm "$work/latentd" | cut -f1)
echo "Installed size: $size_mb MB (limit $most_mb MB)"
[ "$size_mb" -le "$most_mb" ] || { echo "the install is too large" >&2; exit 1; }
for heavy in torch scipy sklearn onnx; do
    ! "$work/latentd/bin/python" -c "import $heavy" 2>/dev/null ||
        { echo "$heavy is installed for serving" >&2; exit 1; }
done

if [ -n "${SBOM:-}" ]; then
    mkdir -p "$(dirname "$SBOM")"
    "$VENV/bin/cyclonedx-py" environment --pyproject pyproject.toml --output-reproducible \
        --of JSON -o "$SBOM" "$work/latentd/bin/python"
    echo "Its packages are listed in $SBOM (CycloneDX)"
fi

cp -r models_store "$work/models_store"
chmod -R a-w "$work/models_store"
run_as=
[ "$(id -u)" -ne 0 ] || run_as="setpriv --reuid 10001 --regid 10001 --clear-groups"
export LATENTD_HOST=127.0.0.1 LATENTD_PORT="${LATENTD_PORT:-8471}" \
    LATENTD_MODELS_STORE="$work/models_store" PYTHONDONTWRITEBYTECODE=1
echo "Starting as the image does"
cd /
$run_as "$work/latentd/bin/latentd" serve &
server=$!
tries=50
until health=$("$work/latentd/bin/python" "$OLDPWD/deploy/health.py" 2>&1); do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "the service did not get ready: $health" >&2; exit 1; }
    sleep 0.2
done
for file in "" playground/main.js playground/fonts/newsreader.woff2 swagger-ui.css; do
    "$work/latentd/bin/python" -c "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])" \
        "http://$LATENTD_HOST:$LATENTD_PORT/${file:+static/$file}" ||
        { echo "the install lacks the page's ${file:-index.html}" >&2; exit 1; }
done
kill "$server"
wait "$server" || [ $? -eq 143 ]
server=
echo "The service got ready and stopped"
