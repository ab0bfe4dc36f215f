#!/usr/bin/env bash
# A set whose pictures show several findings at once, the whole way: ingested with all its labels, a model fine-tuned on
# captions that say what is known of each picture, a synthetic set whose findings, view, sex and age come together as in
# the training part, what it shows of each finding, measured, and whether it helps a classifier of all findings.
#
#   runs/several_findings.sh                          # phantoms of three independent findings, on a CPU: the way works
#   SOURCE=nih14:my-nih RECIPE=sd15 TUNE=lora_a100 IMAGES=80000 MAKE= EVALUATE=inception STUDY=standard \
#     runs/several_findings.sh
#
# Read out/several/real/split_report.md before you believe a result. The same command goes on after a crash.
# shellcheck disable=SC2086  # options are words
set -euo pipefail
cd "$(dirname "$0")/.."

SOURCE=${SOURCE:-phantom:600,7,several}               # what jobs/ingest.py reads: nih14:DIR, chexpert:DIR, table:FILE ...
RECIPE=${RECIPE:-tiny}                                # of ingest and generate
TUNE=${TUNE:-tiny --max-train-steps 150}              # recipe and options of jobs/finetune.py
PROMPT=${PROMPT:-"Chest X-ray, {view} view, of a {age}-year-old {sex}: {findings}"}
IMAGES=${IMAGES:-450}                                 # at least as many as the training part has, and some to spare
BALANCE=${BALANCE:-}                                  # --balance findings draws rare findings more often
MAKE=${MAKE---steps 20}                               # options of jobs/generate.py
EVALUATE=${EVALUATE:-tiny}                            # recipe and options of jobs/evaluate.py
STUDY=${STUDY:-tiny}                                  # recipe and options of jobs/study.py
OUT=${OUT:-out/several}
PYTHON=${PYTHON:-.venv/bin/python}

$PYTHON jobs/ingest.py $RECIPE --source "$SOURCE" --out "$OUT/real"

# The captions say what is known of a picture, and the model's record holds their form.
$PYTHON jobs/finetune.py $TUNE --captions instance --instance-prompt "$PROMPT" --data "$OUT/real" --out "$OUT/model"

# Asked for in the same form: whole rows of the training part's labels, view, sex and age, without patient and text.
$PYTHON jobs/generate.py $RECIPE --lora "$OUT/model" --like "$OUT/real" --images "$IMAGES" $BALANCE $MAKE \
    --out "$OUT/synthetic"

# Those that are flagged as near-duplicates of training images stay out of "$OUT/clean".
$PYTHON jobs/evaluate.py $EVALUATE --real "$OUT/real" --synthetic "$OUT/synthetic" --out "$OUT/quality" \
    --quarantine "$OUT/clean"

$PYTHON jobs/study.py $STUDY --real "$OUT/real" --synthetic "$OUT/clean" --evaluation "$OUT/quality" --out "$OUT/study"
echo "Open $OUT/synthetic/contact_sheet.png, $OUT/quality/index.html and $OUT/study/index.html."
