#!/usr/bin/env bash
# Everything on phantoms, on a CPU, without a download: labelled images of ten findings; then the whole way from X-rays to
# the answers: do synthetic ones help, and what do attacks on them get? What `make demo` runs. It shows that the way works,
# and nothing about patients.
#
#   runs/demo.sh
#
# The same command goes on after a crash.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-.venv/bin/python}

# Ten findings, eight images each, and every byte of them read back.
$PYTHON jobs/generate.py tiny_fast --out out/demo --per-finding 8
$PYTHON jobs/verify.py out/demo

# "Real" X-rays of two findings, split by patient: few to train on, and many to test on, so that an effect can be seen.
# And synthetic ones of the same.
FINDINGS=Normal_Anatomy+Structural_Lesions
$PYTHON jobs/ingest.py tiny --source phantom:540,7,$FINDINGS --train 0.2 --validation 0.1 --test 0.7 --out out/study/real
$PYTHON jobs/generate.py tiny_fast --findings ${FINDINGS/+/,} --per-finding 65 --out out/study/synthetic

# How good and how diverse are they? Those flagged as near-duplicates of training images stay out of out/study/clean.
$PYTHON jobs/evaluate.py tiny --real out/study/real --synthetic out/study/synthetic \
    --out out/study/quality --quarantine out/study/clean

# Are they safe to share? Attacks on what would be shared.
$PYTHON jobs/audit.py tiny --real out/study/real --synthetic out/study/clean --out out/study/audit

# Do they help a classifier that has a tenth of the real ones?
$PYTHON jobs/study.py few --real out/study/real --synthetic out/study/clean \
    --evaluation out/study/quality --audit out/study/audit --out out/study/report

# All of it in one page: every picture, every record in words, and what was made from what.
$PYTHON jobs/browse.py out/demo out/study --out out/page

echo "Open out/page/index.html, out/study/quality/index.html, out/study/audit/index.html and"
echo "out/study/report/index.html."
