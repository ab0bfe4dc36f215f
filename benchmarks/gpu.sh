#!/usr/bin/env bash
# Measures on a machine that has a GPU, Python and torch, and neither a network nor all of what we need.
#
#   benchmarks/gpu.sh pack     where there is a network: wheels of benchmarks/gpu-packages.txt into .wheels/
#   benchmarks/gpu.sh ...      there: puts them beside its Python's own packages, then benchmarks/gpu.py ...
#
# PYTHON is the Python to measure with, VERSION the one to pack for, SITE where the wheels' packages go.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

if [ "${1:-}" = pack ]; then
    rm -rf .wheels
    wanted=$(while read -r name; do grep -ixE "$name==.*" constraints.txt || echo "$name"; done < benchmarks/gpu-packages.txt)
    platforms=$(printf -- '--platform manylinux%s_x86_64 ' 2014 _2_17 _2_27 _2_28 1)
    # shellcheck disable=SC2086
    "$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --python-version "${VERSION:-3.12}" \
        --implementation cp $platforms -d .wheels $wanted
    du -sh .wheels
    exit
fi
SITE=${SITE:-${TMPDIR:-/tmp}/cxr-gpu-site}
if [ -d .wheels ] && ! "$PYTHON" -c "import diffusers" 2> /dev/null; then
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$SITE" .wheels/*.whl
fi
PYTHONPATH="$PWD:$SITE${PYTHONPATH:+:$PYTHONPATH}" exec "$PYTHON" benchmarks/gpu.py "$@"
