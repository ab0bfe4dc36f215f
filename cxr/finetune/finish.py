"""The end of a fine-tuning: curves, card, and the record last."""

import json
import statistics
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cxr.artifact import Made, Record
from cxr.artifact.keys import CARD_KEY, HISTORY_KEY, PLAN_KEY
from cxr.artifact.metrics import FewSteps
from cxr.data.catalog import list_rows
from cxr.data.lineage import LINEAGE, PHANTOM, SET_SOURCES, merge_sources, phantom_notice, record_lineage
from cxr.data.lineage_lists import LINEAGE_KEY, encode_lists
from cxr.finetune.captions import collect_prompts
from cxr.finetune.config import FinetuneConfig, Metrics
from cxr.finetune.curves import plot_curves
from cxr.finetune.job import FinetuneJob, collect_lineage, plain_names, promise_of_base
from cxr.finetune.privacy import ASSUMPTIONS, Privacy, describe_noise
from cxr.finetune.privacy import METRIC as PRIVACY
from cxr.finetune.runs import FINAL, SAMPLES, Result, read_result
from cxr.prompts.trained_prompts import CAPTIONS_METRIC, TrainedPrompts
from cxr.report.pages import Table, render
from cxr.store import StoredObject, json_lines
from cxr.weights.kinds import KOHYA_FILE

CURVES_KEY = "curves.png"
FEW_STEPS = "few_steps"  # in the record's metrics, see `ModelMetrics`


def complete(job: FinetuneJob, timings: dict[str, float]) -> Record:
    """Writes what belongs beside the model; returns the record."""
    results = {run: read_finished(job, run) for run in job.runs}
    final = results[FINAL]
    history = [{"run": run, **metrics} for run, result in results.items() for metrics in result.history]
    objects = [stored for result in results.values() for stored in result.objects]
    objects += [job.store.read_back(found.key) for found in job.store.list(SAMPLES)]
    job.store.put_if_absent(HISTORY_KEY, json_lines(history))  # it holds times: the first of several drivers' stays
    objects += [
        job.store.read_back(PLAN_KEY),
        job.store.put(CURVES_KEY, plot_curves(final.history, final.step)),
        job.store.read_back(HISTORY_KEY),
        job.store.put(CARD_KEY, render_card(job, results).encode()),
        job.store.put(LINEAGE_KEY, encode_lists(collect_lineage(job))),
    ]
    return build_record(job, results, objects, timings)


def read_finished(job: FinetuneJob, run: str) -> Result:
    """Of a run that has ended."""
    result = read_result(job.store, run)
    if result is None:
        raise ValueError(f"{job.store.uri}: {run} has left no result")
    return result


def build_record(
    job: FinetuneJob, results: dict[str, Result], objects: list[StoredObject], timings: dict[str, float]
) -> Record:
    final = results[FINAL]
    return job.new_record(
        Made.of(final.objects),
        objects,
        inputs=job.model.as_input("model")
        | {"data": job.data.digest}
        | ({"lora": job.lora.digest} if job.lora else {}),
        seeds={"seed": job.config.seed},
        device=final.device,
        timings=timings,
        metrics={
            "step": final.step,
            "validation": final.scores,
            "base": final.base,
            "test": final.test,
            "folds": {run: result.scores for run, result in results.items() if run != FINAL},
            LINEAGE: record_lineage(collect_lineage(job)),
            SET_SOURCES: merge_all_sources(job),
            CAPTIONS_METRIC: collect_trained_prompts(job).for_record,
            **({PRIVACY: job.privacy.for_record()} if job.privacy else {}),
            **({FEW_STEPS: few_steps(job.config).model_dump()} if job.config.distills else {}),
            **({PRIVACY: promise} if (promise := kept_promise(job)) else {}),
        },
    )


def merge_all_sources(job: FinetuneJob) -> list[str]:
    """Where all pictures came from that the model has learned from."""
    return merge_sources(*(base.sources for base in job.bases), job.data.sources)


def collect_trained_prompts(job: FinetuneJob) -> TrainedPrompts:
    trained = job.plan.filter(pc.equal(job.plan["split"], "train"))
    captions = dict(zip(trained["image_id"].to_pylist(), trained["caption"].to_pylist(), strict=True))
    rows = list_rows(job.data.table.filter(pc.is_in(job.data.table["image_id"], pa.array(captions))))
    return collect_prompts(rows, [captions[row["image_id"]] for row in rows], job.data.vocabulary, job.config)


def render_card(job: FinetuneJob, results: dict[str, Result]) -> str:
    """The model card, with the front matter that the Hugging Face hub reads."""
    config, final, captions = job.config, results[FINAL], collect_trained_prompts(job)
    return render(
        "finetuned_model.md", config=config, final=final, model=job.model, data_digest=job.data.digest,
        lora=config.trains_lora, embedded=job.model.source == "embedded",
        kohya=KOHYA_FILE if any(stored.key == KOHYA_FILE for stored in final.objects) else None,
        findings=list(captions.prompts), parts=Counter(job.plan["split"].to_pylist()),
        samples=f"samples/{FINAL}/{final.step:08d}.png", captions=captions,
        method=describe_method(job), patients=len(plain_names(job)) if "patients" in job.recipe else None,
        scores=tabulate_scores(results), folds=len(results) > 1, about=phantom_notice(merge_all_sources(job)),
        recipe=json.dumps(job.recipe, indent=1), privacy=job.privacy and describe_privacy(job.privacy),
        few=few_steps(config) if config.distills else None, teacher=job.lora, kept=kept_promise(job),
    )  # fmt: skip


def describe_privacy(privacy: Privacy) -> list[str]:
    """What the training promises to each patient, how, and what that takes for granted."""
    promise = (
        f"With or without one of the {privacy.patients:,} training patients, any such model is as likely, up to a "
        f"factor of e^{privacy.epsilon:.3g} and, in addition, a chance of {privacy.delta:.2g}: (epsilon, delta)-"
        f"differential privacy with epsilon {privacy.epsilon:.3g}, delta {privacy.delta:.2g}."
    )
    means = (
        f"How: each step drew each patient with a chance of {privacy.sampling_rate:.3g}, cut the gradient of each to "
        f"{privacy.bound:g} (a bound) and added noise; {describe_noise(privacy)}. Epsilon was computed by "
        f"{privacy.for_record()['accountant']}."
    )
    return [promise, means, *ASSUMPTIONS]


def describe_method(job: FinetuneJob) -> str:
    config = job.config
    what = "denoiser and text encoder" if config.train_text_encoder else "denoiser"
    how = f"LoRA of rank {config.rank}, alpha {config.alpha:g}" if config.trains_lora else "every weight"
    prior = f"; prior {config.prior_weight:g} on {config.class_images} class pictures" if config.prior_weight else ""
    batch = f"batch {config.batch}" + (f" x {config.accumulation}" if config.accumulation > 1 else "")
    return f"{how} of the {what}; {batch}, learning rate {config.learning_rate:g}, {config.schedule}{prior}"


def few_steps(config: FinetuneConfig) -> FewSteps:
    """How a distilled model is to be sampled."""
    return FewSteps(steps=config.few_steps, solver="ddim", guidance=config.guidance)


def kept_promise(job: FinetuneJob) -> dict[str, Any] | None:
    """What a distillation's teacher promised its patients, where the student keeps it too: it has learned from the
    teacher and from phantoms' captions alone, and what is computed from a private model stays private."""
    promise = promise_of_base(job) if job.config.distills else None
    return promise if set(job.data.sources) == {PHANTOM} else None


def tabulate_scores(results: dict[str, Result]) -> Table:
    """The base model, this one, and the mean over the folds."""
    final = results[FINAL]
    lines = [("base model, validation", final.base), ("this model, validation", final.scores)]
    lines += [("this model, test", final.test)] if final.test else []
    rows = [[name, *(format_metric(scores.get(key)) for key in final.base)] for name, scores in lines]
    if folds := [result.scores for run, result in results.items() if run != FINAL]:
        rows.append([f"mean (sd) of {len(folds)} folds", *(mean_over_folds(folds, key) for key in final.base)])
    return ["", *final.base], rows


def format_metric(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def mean_over_folds(folds: list[Metrics], key: str) -> str:
    values = [scores[key] for scores in folds if key in scores]
    if len(values) < len(folds):  # a fold of one picture has no kid
        return format_metric(None)
    return f"{statistics.mean(values):.4g} ({statistics.stdev(values):.2g})"
