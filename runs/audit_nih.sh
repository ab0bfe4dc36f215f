#!/usr/bin/env bash
# Does an audit see memorisation, on real X-rays? A model over-fitted on a few patients and the usual one, both of every
# weight and as many steps; images of each; an audit of each, with canaries, whose results it prints. Then the tests of the
# images alone, on more of them; and a LoRA of the few patients that memorises, with and without differential privacy.
#
#   runs/audit_nih.sh                                  # X-rays of NIH ChestX-ray8 beside the project; skipped without them
#   NIH=FOLDER STEPS=400 runs/audit_nih.sh             # manifest.csv and the files that it names, as jobs/ingest.py reads it
#   MODELS="" runs/audit_nih.sh                        # the LoRAs alone: what privacy costs and what it stops, as a curve
#
# The same command goes on after a crash.
# shellcheck disable=SC2086  # options are words
set -euo pipefail
cd "$(dirname "$0")/.."

NIH=${NIH:-../shared/data/nih-cxr}
MODELS=${MODELS-overfitted usual}                     # whose every weight is trained
STEPS=${STEPS:-400}
TUNE=${TUNE:---batch 16 --learning-rate 2e-4 --warmup 20 --train-text-encoder False}  # options of jobs/finetune.py
PROMPT=${PROMPT:-"chest X-ray showing {finding}, {view} view"}
CANARIES=${CANARIES:-60}
PER_FINDING=${PER_FINDING:-48}
MORE=${MORE-150 500}                                  # of each finding, for the tests that need no model
MAKE=${MAKE---steps 20}                               # options of jobs/generate.py
AUDIT=${AUDIT:-tiny}                                  # recipe and options of jobs/audit.py
EPSILONS=${EPSILONS-1 8 50 none}
PRIVATE_SIZE=${PRIVATE_SIZE:-64}                      # pixels; at 128 each of these trainings takes four times as long
# A LoRA of attention remembers patients by their captions: these are nearly one for each.
PRIVATE_PROMPT=${PRIVATE_PROMPT:-"chest X-ray of a {age} year old {sex} showing {finding}, {view} view"}
PRIVATE_TUNE=${PRIVATE_TUNE:---batch 8 --rank 64 --alpha 64 --learning-rate 3e-3 --train-text-encoder False
    --max-train-steps 800 --validate-every 800}
OUT=${OUT:-out/audit-nih}
PYTHON=${PYTHON:-.venv/bin/python}

if [ ! -f "$NIH/manifest.csv" ]; then
    echo "skipped: no manifest.csv in $NIH; give the folder of the X-rays as NIH=FOLDER"
    exit
fi
$PYTHON jobs/ingest.py tiny --source "table:$NIH/manifest.csv" --out "$OUT/real"

# 35 training patients of each finding with one image each. Of these 8 choose the checkpoint, and of the canaries among
# the others a coin leaves out half, so that the over-fitted model sees about 30 patients.
mkdir -p "$OUT/overfitted" "$OUT/usual"
$PYTHON -c '
import collections, sys
import pyarrow.parquet as pq
rows = sorted(pq.read_table(sys.argv[1]).to_pylist(), key=lambda row: row["image_id"])
images = collections.Counter(row["patient_id"] for row in rows)
for finding in ("normal", "pneumonia"):
    shown = [row["patient_id"] for row in rows if (row["finding"], row["split"]) == (finding, "train")]
    print(*[patient for patient in shown if images[patient] == 1][:35], sep="\n")
' "$OUT/real/catalog.parquet" > "$OUT/overfitted/patients.txt"

make_images() {                                       # model or LoRA, where it is, images of each finding, where they go, options
    $PYTHON jobs/generate.py tiny "--$1" "$2" --findings normal,pneumonia --per-finding "$3" $MAKE --out "$4" "${@:5}"
}

attack_model() {                                      # what it is, model or LoRA, the folder that it is in, options of its images
    make_images "$1" "$2/model" "$PER_FINDING" "$2/synthetic" "${@:3}"
    $PYTHON jobs/audit.py $AUDIT --real "$OUT/real" --synthetic "$2/synthetic" --model "$2/model" --out "$2/audit"
    print_results "$2/audit"
}

print_results() {                                     # of an audit
    $PYTHON -c '
import json, sys
for test in json.load(open(sys.argv[1]))["tests"]:
    if test["result"]:
        print("{name}: {verdict}; {result}".format(**test))
' "$1/audit.json"
}

captions=(--captions instance --canaries "$CANARIES" --data "$OUT/real")
few=(--patients "$OUT/overfitted/patients.txt")
for name in $MODELS; do
    patients=()
    if [ $name = overfitted ]; then patients=("${few[@]}"); fi
    # Validated once, at the end: the best checkpoint on other patients would be one before it has memorised.
    $PYTHON jobs/finetune.py tiny --method dreambooth --max-train-steps $STEPS --validate-every $STEPS $TUNE \
        --instance-prompt "$PROMPT" "${captions[@]}" "${patients[@]}" --out "$OUT/$name/model"
    attack_model model "$OUT/$name"
done

for count in $MORE; do
    for name in $MODELS; do
        make_images model "$OUT/$name/model" "$count" "$OUT/$name/synthetic-$count"
        $PYTHON jobs/audit.py $AUDIT --real "$OUT/real" --synthetic "$OUT/$name/synthetic-$count" \
            --out "$OUT/$name/audit-$count"
        print_results "$OUT/$name/audit-$count"
    done
done

for epsilon in $EPSILONS; do
    promise=(--epsilon "$epsilon")
    if [ "$epsilon" = none ]; then promise=(); fi
    $PYTHON jobs/finetune.py tiny --size "$PRIVATE_SIZE" $PRIVATE_TUNE "${promise[@]}" "${few[@]}" "${captions[@]}" \
        --instance-prompt "$PRIVATE_PROMPT" --out "$OUT/epsilon-$epsilon/model"
    attack_model lora "$OUT/epsilon-$epsilon" --size "$PRIVATE_SIZE"
done
if [ -n "$EPSILONS" ]; then $PYTHON runs/privacy_curve.py "$OUT"; fi
for name in $MODELS; do echo "Open $OUT/$name/audit/index.html."; done
