#!/usr/bin/env bash
# A study of your own X-rays, from a folder to the answer: one folder a finding goes in, a model is fine-tuned on the
# training patients, and its images are measured, searched for near-duplicates and tried on a classifier.
#
#   runs/own_xrays.sh                                           # phantoms, on a CPU: shows that the way works, no more
#   SOURCE=folder:my-xrays runs/own_xrays.sh                    # a folder of X-rays for each finding in it, on a CPU
#   SOURCE=folder:my-xrays RECIPE=sd15 TUNE="lora_a100 --captions instance" PER_FINDING=2000 MAKE= EVALUATE=inception \
#     STUDY=standard runs/own_xrays.sh                          # the same on GPUs, for images worth something
#
# The folder is looked for from this repository, unless its whole path is given. Where file names tell patients apart,
# PATIENTS="IM_([0-9]+)_" keeps each on one side of the split.
# Read out/own/real/split_report.md before you believe a result. The same command goes on after a crash.
# shellcheck disable=SC2086  # options are words
set -euo pipefail
cd "$(dirname "$0")/.."

SOURCE=${SOURCE:-phantom:360,7,normal+pneumonia}      # what jobs/ingest.py reads: folder:DIR, table:FILE, dicom:DIR ...
PATIENTS=${PATIENTS:-}                                # a pattern on file names whose group is the patient
RECIPE=${RECIPE:-tiny}                                # of ingest and generate
TUNE=${TUNE:-tiny --max-train-steps 150 --captions instance}  # of jobs/finetune.py: own X-rays seldom have texts
FINDINGS=${FINDINGS:-all}                             # that the model was trained on, or some of them
PER_FINDING=${PER_FINDING:-140}                       # at least as many as the training part has of each, and some to spare
MAKE=${MAKE---steps 20}                               # options of jobs/generate.py
EVALUATE=${EVALUATE:-tiny}                            # recipe and options of jobs/evaluate.py
STUDY=${STUDY:-tiny}                                  # recipe and options of jobs/study.py
OUT=${OUT:-out/own}
PYTHON=${PYTHON:-.venv/bin/python}

$PYTHON jobs/ingest.py $RECIPE --source "$SOURCE" ${PATIENTS:+--patient-pattern "$PATIENTS"} --out "$OUT/real"

# The model sees the training patients alone; validation chooses the checkpoint.
$PYTHON jobs/finetune.py $TUNE --data "$OUT/real" --out "$OUT/model"
$PYTHON jobs/generate.py $RECIPE --lora "$OUT/model" --findings "$FINDINGS" --per-finding "$PER_FINDING" $MAKE \
    --out "$OUT/synthetic"

# Images that are flagged as near-duplicates of training images stay out of "$OUT/clean". With fewer than 100 training
# X-rays they cannot be told (exit code 3): the study then takes all images, and its report says so.
SYNTHETIC="$OUT/clean" UNCHECKED="" CODE=0
$PYTHON jobs/evaluate.py $EVALUATE --real "$OUT/real" --synthetic "$OUT/synthetic" --out "$OUT/quality" \
    --quarantine "$OUT/clean" || CODE=$?
case $CODE in
    0) ;;
    3) SYNTHETIC="$OUT/synthetic" UNCHECKED=--allow-unchecked-copies ;;
    *) exit "$CODE" ;;
esac

# A study refuses images whose labels are mostly wrong (exit code 2), as those of a short training can be.
CODE=0
$PYTHON jobs/study.py $STUDY --real "$OUT/real" --synthetic "$SYNTHETIC" --evaluation "$OUT/quality" $UNCHECKED \
    --out "$OUT/study" || CODE=$?
if [ "$CODE" = 2 ] && [[ $STUDY != *--allow-unfaithful-labels* ]]; then
    echo "No study, for the reason above; $OUT/quality/index.html shows the images. If their labels are wrong, put" \
        "in front of the same command TUNE=\"${TUNE%% *} --max-train-steps 1000 --captions instance\" OUT=$OUT-longer" \
        "to train longer, or STUDY=\"$STUDY --allow-unfaithful-labels\" to try these images all the same." >&2
fi
[ "$CODE" = 0 ] || exit "$CODE"
echo "Open $OUT/quality/index.html and $OUT/study/index.html."
