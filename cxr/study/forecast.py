"""What a study would train, and how long: a few steps of its classifier are timed on noise, and nothing is stored."""

import time

import numpy as np

from cxr.classify.loop import LabelledImages, TrainingPhase, predict_probabilities, train_classifier
from cxr.classify.task import task_of
from cxr.ranks import device_name
from cxr.report.forecast import Forecast, about, count_words
from cxr.study.job import StudyJob, trial_specs

PROBED = 6  # steps; the first also loads and warms up


def forecast(job: StudyJob) -> Forecast:
    config, sets = job.config, job.sets
    specs = trial_specs(job, np.arange(len(sets.labels)))
    steps, size = sum(spec.steps for spec in specs), config.classifier.resize
    tested = len(sets.part("validation")) * (config.classifier.epochs + 1) + len(sets.part("test"))
    a_step, a_picture = probe(job)
    seconds = steps * a_step + len(specs) * tested * a_picture
    drawn = f", {max(spec.synthetic for spec in specs):,} synthetic ones at most in a trial" if sets.sides else ""
    return Forecast(
        f"{len(sets.real.table):,} real pictures (train: {count_words(sets.counts('train'))}; test: "
        f"{count_words(sets.counts('test'))}){drawn}",
        f"{len(specs)} trials, {len(config.arms)} arms ({', '.join(arm.name for arm in config.arms)}) with "
        f"{len(config.seeds)} seeds, {steps:,} steps in all; the answer is about {config.primary or 'all of them'}",
        f"{len(job.used) * size**2 / 1e6:,.0f} MB of memory for pictures of {size} px; for {config.classifier.network} "
        f"{'a CPU will do' if config.classifier.network == 'cnn' else 'a GPU helps'}",
        f"{about(seconds)} for one trial after another on a machine like this one "
        f"({device_name()}), as {PROBED - 1} steps took; trials run side by side where there is room",
    )


def probe(job: StudyJob) -> tuple[float, float]:
    """Seconds of a step, and of a picture that is predicted."""
    classifier, classes = job.config.classifier, len(job.sets.classes)
    config, count = classifier.model_copy(update={"epochs": 1}), max(classifier.batch, 2 * classes)
    pixels = np.random.default_rng(0).integers(0, 256, (count, config.resize, config.resize), np.uint8)
    rows, times, task = np.arange(count), [], task_of(classes, not job.sets.several)
    labels = task.targets(np.eye(classes, dtype=np.float32)[rows % classes])
    trained = train_classifier(
        LabelledImages(pixels, labels, rows[: 2 * classes]), [TrainingPhase(rows, PROBED)], config, task,
        seed=0, watch=lambda point: times.append(time.perf_counter()),
    )  # fmt: skip
    start = time.perf_counter()
    predict_probabilities(trained.network, pixels, rows, config, task)
    return float(np.median(np.diff(times))), (time.perf_counter() - start) / count
