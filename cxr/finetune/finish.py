"""The end of a fine-tuning: curves, card, and the record last."""

import json
import statistics

from cxr.artifact import Made, Record
from cxr.artifact.keys import CARD_KEY, HISTORY_KEY, PLAN_KEY
from cxr.data.lineage import LINEAGE, PHANTOM_NOTICE, SET_SOURCES, has_phantoms, merge_sources, record_lineage
from cxr.data.lineage_lists import LINEAGE_KEY, encode_lists
from cxr.diffusion.adapters import KOHYA_FILE
from cxr.finetune.captions import collect_prompts
from cxr.finetune.job import Job, plain_names, seen_of
from cxr.finetune.loop import Metrics
from cxr.finetune.runs import FINAL, Result, read_result
from cxr.finetune.validation import plot_curves
from cxr.finetune.worker import SAMPLES
from cxr.prompts.trained_prompts import CAPTIONS_METRIC, TrainedPrompts
from cxr.store import StoredObject, json_lines

CURVES_KEY = "curves.png"


def complete(job: Job, timings: dict[str, float]) -> Record:
    """Writes what belongs beside the model; returns the record."""
    results = {run: result_of(job, run) for run in job.runs}
    final = results[FINAL]
    history = [{"run": run, **metrics} for run, result in results.items() for metrics in result.history]
    objects = [stored for result in results.values() for stored in result.objects]
    objects += [job.store.read_back(found.key) for found in job.store.list(SAMPLES)]
    job.store.put_if_absent(HISTORY_KEY, json_lines(history))  # it holds times: the first of several drivers' stays
    objects += [
        job.store.read_back(PLAN_KEY),
        job.store.put(CURVES_KEY, plot_curves(final.history)),
        job.store.read_back(HISTORY_KEY),
        job.store.put(CARD_KEY, card(job, results).encode()),
        job.store.put(LINEAGE_KEY, encode_lists(seen_of(job))),
    ]
    return record_of(job, results, objects, timings)


def result_of(job: Job, run: str) -> Result:
    """Of a run that has ended."""
    result = read_result(job.store, run)
    if result is None:
        raise ValueError(f"{job.store.uri}: {run} has left no result")
    return result


def record_of(job: Job, results: dict[str, Result], objects: list[StoredObject], timings: dict[str, float]) -> Record:
    final = results[FINAL]
    return job.new_record(
        Made.of(final.objects),
        objects,
        inputs={"model": job.model.digest, "data": job.data.digest},
        seeds={"seed": job.config.seed},
        device=final.device,
        timings=timings,
        metrics={
            "step": final.step,
            "validation": final.scores,
            "base": final.base,
            "test": final.test,
            "folds": {run: result.scores for run, result in results.items() if run != FINAL},
            LINEAGE: record_lineage(seen_of(job)),
            SET_SOURCES: sources(job),
            CAPTIONS_METRIC: learned(job).for_record,
        },
    )


def sources(job: Job) -> list[str]:
    """Where all pictures came from that the model has learned from."""
    return merge_sources(job.model.sources, job.data.sources)


def learned(job: Job) -> TrainedPrompts:
    return collect_prompts([row for row in job.plan.to_pylist() if row["split"] == "train"], job.config)


def card(job: Job, results: dict[str, Result]) -> str:
    """The model card, with the front matter that the Hugging Face hub reads."""
    config, final = job.config, results[FINAL]
    lora = config.method == "lora"
    embedded = job.model.source == "embedded"
    base = "tiny, embedded in cxr" if embedded else job.model.source
    findings = sorted(set(job.plan["finding"].to_pylist()))
    parts = job.plan["split"].to_pylist()
    usage = (
        f"python jobs/generate.py RECIPE --model {config.model if embedded else 'BASE'} --lora THIS_FOLDER --out OUT"
        if lora
        else "python jobs/generate.py RECIPE --model THIS_FOLDER --out OUT"
    )
    return f"""---
license: {"apache-2.0" if job.model.licence == "Apache-2.0" else "other"}
pipeline_tag: text-to-image
library_name: diffusers
tags:
- medical
- chest-x-ray
- {"lora" if lora else "dreambooth"}
---

# {"A LoRA" if lora else "Stable Diffusion fine-tuned"} on {parts.count("train")} chest X-rays

![What it shows for the validation captions](samples/{FINAL}/{final.step:08d}.png)

- Base model: {base} (licence: {job.model.licence}), digest `{job.model.digest[:16]}`
- Data: {", ".join(findings)}; {parts.count("train")} pictures to train, {parts.count("validation")} to choose, \
{parts.count("test")} to test; catalog `{job.data.digest[:16]}`
- Captions: {describe_captions(job)}
{describe_patients(job)}- Method: {describe_method(job)}
- Best validation by {config.select}: step {final.step} of {final.history[-1]["step"]}, epoch {final.epoch}
- Not for clinical use. A fine-tuned model can show patients it was trained on: measure that before you share it.
{f"- {PHANTOM_NOTICE}" if has_phantoms(sources(job)) else ""}

| | {" | ".join(final.base)} |
| --- |{" --- |" * len(final.base)}
{table_rows(final, results)}

{describe_folds(results)}

SSIM and PSNR compare a generated picture with the real one of the same caption: a caption does not fix a patient, so
they say how alike two X-rays of a kind look, not how faithful the model is. `kid` is the kernel distance in features of
the embedded extractor, between {min(config.validation_images, parts.count("validation"))} pictures: use it to choose, \
not to report.

```sh
{usage}
```

The whole recipe, where model and data are digests; `record.json` has it too:

```json
{json.dumps(job.recipe, indent=1)}
```
{f"`{KOHYA_FILE}` is the same LoRA for programs that read kohya's form." if lora else ""}
"""


def describe_captions(job: Job) -> str:
    """What it can be asked in: the prompts, or that there were texts, of which a card shows none."""
    found = learned(job)
    prompts = ", ".join(f"`{prompt}`" for prompt in found.known.values())
    if len(found.known) == len(found.prompts):
        return f"one prompt for each finding, {prompts}; ask for it in these words"
    return f"each picture's own text{f', and {prompts} where a finding had none' if prompts else ''}"


def describe_patients(job: Job) -> str:
    """Of whom it has learned, where that is a part of the training patients."""
    if "patients" not in job.recipe:
        return ""
    patients = len(plain_names(job))
    which = f"{job.config.patients:g} % of the training part, subset seed {job.config.subset_seed}"
    which = which if job.config.patients < 100 else "a list"
    return f"- Of {patients} patients alone ({which}): some of them choose, the validation part was not used\n"


def describe_method(job: Job) -> str:
    config = job.config
    what = "UNet and text encoder" if config.train_text_encoder else "UNet"
    how = f"LoRA of rank {config.rank}, alpha {config.alpha:g}" if config.method == "lora" else "every weight"
    prior = f"; prior {config.prior_weight:g} on {config.class_images} class pictures" if config.prior_weight else ""
    batch = f"batch {config.batch}" + (f" x {config.accumulation}" if config.accumulation > 1 else "")
    return f"{how} of the {what}; {batch}, learning rate {config.learning_rate:g}, {config.schedule}{prior}"


def table_rows(final: Result, results: dict[str, Result]) -> str:
    """Lines of the card's table: the base model, this one, and the mean over the folds."""
    lines = [("base model, validation", final.base), ("this model, validation", final.scores)]
    lines += [("this model, test", final.test)] if final.test else []
    rows = [[name, *(format_metric(scores.get(key)) for key in final.base)] for name, scores in lines]
    if folds := [result.scores for run, result in results.items() if run != FINAL]:
        rows.append([f"mean (sd) of {len(folds)} folds", *(mean_over_folds(folds, key) for key in final.base)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def format_metric(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def describe_folds(results: dict[str, Result]) -> str:
    if len(results) == 1:
        return ""
    return "Each fold is scored by the checkpoint that did best on it, which flatters; the final model is none of them."


def mean_over_folds(folds: list[Metrics], key: str) -> str:
    values = [scores[key] for scores in folds if key in scores]
    if len(values) < len(folds):  # a fold of one picture has no kid
        return format_metric(None)
    return f"{statistics.mean(values):.4g} ({statistics.stdev(values):.2g})"
