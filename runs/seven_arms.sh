#!/usr/bin/env bash
# The published study of seven arms and three seeds: the pneumonia X-rays of the usual guide, Stable Diffusion with a LoRA,
# FID, DenseNet-121; real data alone, with 25, 50 and 100 % synthetic, 10 and 25 % of the real with 100 %, synthetic alone.
# Controls and two further arms come with them (docs/guides/study.md).
#
#   runs/seven_arms.sh                                          # X-rays of the hub, on GPUs, with internet
#   SOURCE=phantom:360,7,normal+pneumonia RECIPE=tiny TUNE="tiny --max-train-steps 150" PER_FINDING=140 EVALUATE=tiny \
#     CLASSIFIER="--network cnn --pretrained False --size 64 --resize 64 --epochs 10 --batch 32 --learning-rate 2e-3" \
#     runs/seven_arms.sh                                        # phantoms, on a CPU: shows that the way works, no more
#
# One generator makes the images of all arms, as in the guide. It has seen all training patients, so the arms with 10 and
# 25 % of the real data are no answer for few real data, and the report says so; runs/limited_data.sh asks that honestly.
# Three seeds find only large differences (docs/statistics.md): CLASSIFIER="--seeds 42,123,456,789,1011" takes five.
#
# The steps are those of runs/own_xrays.sh, with other defaults. The same command goes on after a crash.
set -euo pipefail
cd "$(dirname "$0")/.."

export SOURCE=${SOURCE:-hub:hf-vision/chest-xray-pneumonia}
export RECIPE=${RECIPE:-sd15}
export TUNE=${TUNE:-lora_a100 --captions instance}
export PER_FINDING=${PER_FINDING:-3200}               # at least as many as the training part has of each, and some to spare
export MAKE=${MAKE-}
export EVALUATE=${EVALUATE:-inception}
export STUDY="study_7x3 ${CLASSIFIER-}"               # CLASSIFIER: options of jobs/study.py
export OUT=${OUT:-out/seven}
exec runs/own_xrays.sh
