#!/usr/bin/env bash
# Which of two generators? A study of each on the same real X-rays, then both side by side: the base model as it is, and
# the same fine-tuned on the training patients.
#
#   runs/two_generators.sh                               # phantoms, on a CPU, about 15 minutes: shows that the way works
#   SOURCE=folder:my-xrays SPLIT= FINDINGS=normal,pneumonia RECIPE=sd15 TUNE="lora_a100 --captions instance" \
#     PER_FINDING=2000 MAKE= EVALUATE=inception STUDY=standard runs/two_generators.sh             # X-rays, on GPUs
#
# The same command goes on after a crash.
# shellcheck disable=SC2086  # options are words
set -euo pipefail
cd "$(dirname "$0")/.."

SOURCE=${SOURCE:-phantom:540,7,Normal_Anatomy+Structural_Lesions}
SPLIT=${SPLIT---train 0.2 --validation 0.1 --test 0.7}  # options of jobs/ingest.py
FINDINGS=${FINDINGS:-Normal_Anatomy,Structural_Lesions}
RECIPE=${RECIPE:-tiny}                                # of ingest and generate
TUNE=${TUNE:-tiny --max-train-steps 150}              # recipe and options of jobs/finetune.py
PER_FINDING=${PER_FINDING:-65}                        # at least as many as the training part has of each, and some to spare
MAKE=${MAKE---steps 12}                               # options of jobs/generate.py
EVALUATE=${EVALUATE:-tiny}                            # recipe and options of jobs/evaluate.py
STUDY=${STUDY:-few}                                   # recipe and options of jobs/study.py
OUT=${OUT:-out/two}
PYTHON=${PYTHON:-.venv/bin/python}

$PYTHON jobs/ingest.py $RECIPE --source "$SOURCE" $SPLIT --out "$OUT/real"
$PYTHON jobs/finetune.py $TUNE --data "$OUT/real" --out "$OUT/model"

for generator in base tuned; do
    lora=()
    [ $generator = base ] || lora=(--lora "$OUT/model")
    own=$OUT/$generator
    $PYTHON jobs/generate.py $RECIPE "${lora[@]}" --findings "$FINDINGS" --per-finding "$PER_FINDING" $MAKE \
        --out "$own/synthetic"
    # With fewer than 100 training X-rays near-duplicates cannot be told (exit code 3): the study then takes all images.
    synthetic=$own/clean unchecked="" code=0
    $PYTHON jobs/evaluate.py $EVALUATE --real "$OUT/real" --synthetic "$own/synthetic" --out "$own/quality" \
        --quarantine "$own/clean" || code=$?
    case $code in
        0) ;;
        3) synthetic=$own/synthetic unchecked=--allow-unchecked-copies ;;
        *) exit "$code" ;;
    esac
    $PYTHON jobs/study.py $STUDY --real "$OUT/real" --synthetic "$synthetic" --evaluation "$own/quality" $unchecked \
        --out "$own/study"
done

$PYTHON jobs/compare.py "$OUT/base/study" "$OUT/tuned/study" --out "$OUT/compared"
echo "Open $OUT/compared/index.html."
