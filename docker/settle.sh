#!/bin/bash
# Compiles what is new in a virtual environment, because its user cannot write there, and takes the time of building
# out of it: the same versions give the same files.
set -euo pipefail
for folder in "$1"/lib/python3*/site-packages; do # some libraries hold files for newer Pythons, which do not compile
    "$1/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$folder" >/dev/null || true
done
find "$1" -newermt "@${SOURCE_DATE_EPOCH:-0}" -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH:-0}" {} +
