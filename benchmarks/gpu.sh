#!/bin/sh
# The tests of a CUDA device: train a small bundle, serve it on the CPU and on the device, compare
# the responses and write a table. Under five minutes, without a network.
# Needs torch with CUDA and onnxruntime-gpu in the environment of $PYTHON.
# usage: benchmarks/gpu.sh [FOLDER]       FOLDER receives gpu.json, a record for docs/performance
set -eu
cd "$(dirname "$0")/.."
folder=${1:-docs/performance}
python=${PYTHON:-python3}
export PYTHONPATH="$PWD:$PWD/client${PYTHONPATH:+:$PYTHONPATH}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
started=$(date +%s)
"$python" -m training train digits --device cuda --epochs 3 --set density.search_codes=200 \
    --runs "$work/runs" --store "$work/store"
echo "trained and published in $(($(date +%s) - started)) s"
"$python" -m benchmarks.performance.gpu --store "$work/store" --output "$folder"
