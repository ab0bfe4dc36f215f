"""What a study would train, and how long: a few steps of its classifier are timed on noise, and nothing is stored."""

import numpy as np

from cxr.classify.speed import STEPS, measure_speed
from cxr.classify.task import task_of
from cxr.ranks import device_name
from cxr.report.forecast import Forecast, about, count_words
from cxr.study.job import StudyJob, trial_specs


def forecast(job: StudyJob) -> Forecast:
    config, sets = job.config, job.sets
    specs = trial_specs(job, np.arange(len(sets.labels)))
    steps, size = sum(spec.steps for spec in specs), config.classifier.resize
    tested = len(sets.part("validation")) * (config.classifier.epochs + 1) + len(sets.part("test"))
    speed = measure_speed(config.classifier, task_of(len(sets.classes), not sets.several))
    seconds = steps * speed.step + len(specs) * tested * speed.prediction
    first = f"features of {len(job.used):,} pictures, once; then " if config.classifier.frozen else ""
    drawn = f", {max(spec.synthetic for spec in specs):,} synthetic ones at most in a trial" if sets.sides else ""
    return Forecast(
        f"{len(sets.real.table):,} real pictures (train: {count_words(sets.counts('train'))}; test: "
        f"{count_words(sets.counts('test'))}){drawn}",
        f"{len(specs)} trials, {len(config.arms)} arms ({', '.join(arm.name for arm in config.arms)}) with "
        f"{len(config.seeds)} seeds, {steps:,} steps in all; the answer is about {config.primary or 'all of them'}",
        f"{len(job.used) * size**2 / 1e6:,.0f} MB of memory for pictures of {size} px; for {config.classifier.network} "
        f"{'a CPU will do' if config.classifier.network == 'cnn' else 'a GPU helps'}",
        f"{first}{about(seconds)} for one trial after another on a machine like this one "
        f"({device_name()}), as {STEPS} steps took; trials run side by side where there is room",
        seconds,
    )
