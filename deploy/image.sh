#!/bin/sh
# Build the image with buildah, without a container engine, and test it as Kubernetes would run it:
# as user 10001 on a read-only root. The base is a minimal Debian with Python instead of the image
# from a registry.
# IMAGE_BASE is a folder that debootstrap made before, so that no package of Debian is downloaded.
# Exit with 1 if the build or a request fails. Report a machine that cannot build, and exit with 0.
# usage: image.sh [--write]       --write: write size and start time into docs/deploy.md
set -eu
cd "$(dirname "$0")/.."
suite=bookworm
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
python=${VENV:+$VENV/bin/}python
skip() { echo "The image was not built: $1"; exit 0; }
[ "$(id -u)" -eq 0 ] || skip "buildah's chroot isolation and mounts need root here"
for program in buildah debootstrap setpriv; do
    command -v "$program" >/dev/null || skip "$program is not installed"
done
unshare --mount true 2>/dev/null || skip "mounts are not permitted"

work=$(mktemp -d)
export BUILDAH_ISOLATION=chroot
server=
# A storage of its own, so that nothing stays behind.
buildah() { command buildah --root "$work/storage" --runroot "$work/run" "$@"; }
clean() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    umount --recursive --lazy "$work/root" 2>/dev/null || true
    buildah rm --all >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean EXIT

echo "Making the base: Debian $suite with Python"
base=${IMAGE_BASE:-$work/base}
[ -d "$base" ] || debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
    "$suite" "$base" "$mirror" >"$work/log" 2>&1 ||
    { tail -n 3 "$work/log"; skip "no packages of Debian from $mirror"; }
container=$(buildah from scratch)
buildah copy --quiet "$container" "$base" / >/dev/null
buildah commit --quiet "$container" latentd-base >/dev/null
buildah rm "$container" >/dev/null
base_mb=$(du -sm "$base" | cut -f1)

echo "Building the image"
buildah build --quiet --format docker --network host --build-arg PYTHON=localhost/latentd-base \
    --build-arg VERSION="$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
    --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || true)" \
    --volume /etc/ssl/certs:/etc/ssl/certs:ro --tag latentd . >/dev/null
user=$(buildah inspect --type image --format '{{.OCIv1.Config.User}}' latentd)
[ "$user" = 10001:10001 ] || { echo "Expected the user 10001:10001, got '$user'" >&2; exit 1; }

echo "Starting it as user 10001 on a read-only root"
container=$(buildah from latentd)
mounted=$(buildah mount "$container")
image_mb=$(du -smx "$mounted" | cut -f1)
port=${LATENTD_PORT:-8472}
mkdir "$work/root"
mount --bind "$mounted" "$work/root"
mount --bind /dev "$work/root/dev"
mount --bind /proc "$work/root/proc"
mount -o remount,bind,ro "$work/root"
environment=$(buildah inspect --type image --format '{{range .OCIv1.Config.Env}}{{.}} {{end}}' latentd)
# shellcheck disable=SC2086 - the variables of the image, without spaces
env -i $environment LATENTD_PORT="$port" LATENTD_HOST=127.0.0.1 \
    chroot "$work/root" /usr/bin/setpriv --reuid 10001 --regid 10001 --clear-groups \
    --no-new-privs --bounding-set -all latentd serve 2>"$work/log" &
server=$!
"$python" deploy/try_image.py "http://127.0.0.1:$port" --sizes "$base_mb" "$image_mb" "$@" ||
    { tail -n 5 "$work/log" >&2; exit 1; }
kill "$server"
wait "$server" || { echo "The service ended with $?" >&2; exit 1; }
server=
