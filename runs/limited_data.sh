#!/usr/bin/env bash
# Do synthetic X-rays help where real ones are few? Asked honestly: each arm's generator is trained on just the patients
# that the arm has, 10 and 25 % of the training part, and its checkpoint is chosen by some of these.
#
#   runs/limited_data.sh                                        # phantoms, on a CPU: shows that the way works, no more
#   SOURCE=folder:my-xrays RECIPE=sd15 TUNE="lora_a100 --captions instance" FINDINGS=normal,pneumonia \
#     PER_FINDING=2000 MAKE= EVALUATE=inception CLASSIFIER= runs/limited_data.sh   # X-rays, on GPUs
#
# The same command goes on after a crash.
# shellcheck disable=SC2086  # options are words
set -euo pipefail
cd "$(dirname "$0")/.."

SOURCE=${SOURCE:-phantom:720,7,normal+pneumonia}      # what jobs/ingest.py reads
RECIPE=${RECIPE:-tiny}                                # of ingest and generate
TUNE=${TUNE:-tiny --max-train-steps 150}              # recipe and options of jobs/finetune.py
FINDINGS=${FINDINGS:-normal,pneumonia}
PER_FINDING=${PER_FINDING:-270}                       # at least as many as the training part has of each
MAKE=${MAKE---steps 20}                              # options of jobs/generate.py
EVALUATE=${EVALUATE:-tiny}                            # recipe and options of jobs/evaluate.py
CLASSIFIER=${CLASSIFIER---network cnn --pretrained False --size 64 --resize 64 --epochs 10 --batch 32 --learning-rate 2e-3}
OUT=${OUT:-out/limited}
PYTHON=${PYTHON:-.venv/bin/python}

$PYTHON jobs/ingest.py $RECIPE --source "$SOURCE" --out "$OUT/real"

sets=()
for share in 10 25; do  # the arms limited_10 and limited_25 of the study's recipe `limited`
    own=$OUT/$share
    $PYTHON jobs/finetune.py $TUNE --patients $share% --data "$OUT/real" --out "$own/model"
    $PYTHON jobs/generate.py $RECIPE --lora "$own/model" --findings "$FINDINGS" --per-finding "$PER_FINDING" $MAKE \
        --out "$own/synthetic"
    $PYTHON jobs/evaluate.py $EVALUATE --real "$OUT/real" --synthetic "$own/synthetic" --out "$own/quality" \
        --quarantine "$own/clean"
    sets+=(--synthetic "limited_$share=$own/clean")
done

$PYTHON jobs/study.py limited --real "$OUT/real" "${sets[@]}" $CLASSIFIER --out "$OUT/study"
echo "Open $OUT/study/index.html."
