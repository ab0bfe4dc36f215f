"""What an evaluation would look at, and how long: it is timed on some of its pictures, and nothing is stored."""

from collections.abc import Sequence

import numpy as np

from cxr.classify.best_of import TRIES, best_of_config
from cxr.classify.speed import measure_speed
from cxr.classify.task import task_of
from cxr.data.catalog import read_unscaled
from cxr.data.images import fit_square
from cxr.detectors.details import TrainingImageIndex
from cxr.evaluate.calibration import count_lookups
from cxr.evaluate.diversity import draw_pairs, similarity
from cxr.evaluate.features import Extractor, extractor_of
from cxr.evaluate.finish import EvaluateJob
from cxr.evaluate.measure import choose_groups, metrics_of
from cxr.evaluate.sets import label_attributes, open_images, rows_of, splits_of
from cxr.report.forecast import Forecast, about, timed

PROBED = 24  # pictures


def forecast(job: EvaluateJob, findings: Sequence[str], without: str) -> Forecast:
    """Args:
    findings: that can be compared.
    without: why near-duplicates cannot be told; empty if they can.
    """
    config, real, synthetic = job.config, len(job.real.table), len(job.synthetic.table)
    compared = len(rows_of(splits_of(job.real), job.against))
    search = f"no search for near-duplicates ({without})" if without else "a search for near-duplicates"
    memory = real * config.size**2 / 1e6
    extractor = extractor_of(config.extractor)
    seconds = time_pictures(job, extractor) + time_metrics(job, findings, extractor)
    return Forecast(
        f"{real:,} real pictures, of which {compared:,} are compared with ({job.against}), and {synthetic:,} synthetic",
        f"metrics of {', '.join(findings)} and of all together, {search}, a page",
        f"{real + synthetic:,} passes through the extractor {config.extractor}, {memory:,.0f} MB of memory for real "
        "pictures; a GPU helps",
        f"{about(seconds)} on one worker like this machine's ({extractor.device}), as {PROBED} pictures and one "
        "measurement of each finding took",
        seconds,
    )


def time_pictures(job: EvaluateJob, extractor: Extractor) -> float:
    """Seconds of reading all pictures, their features, the search for near-duplicates, and classifiers of labels."""
    config, real, synthetic = job.config, len(job.real.table), len(job.synthetic.table)
    rows = job.real.table.slice(0, PROBED)
    read = timed(read_unscaled, job.real.store, rows)
    sized = np.stack([fit_square(picture, config.size, "keep") for picture in read.result])
    extractor(read.result[:1])  # warms up
    extract = timed(extractor, read.result)
    index = timed(TrainingImageIndex, sized, range(len(sized)))
    search = timed(index.result.nearest, sized, threads=1)
    train = int((splits_of(job.real) == "train").sum())
    lookups = synthetic + count_lookups(open_images(job.real, config), config.calibration)
    per_picture = (
        read.seconds * (2 * real + synthetic) + extract.seconds * (real + synthetic) + index.seconds * train
        + search.seconds * lookups
    )  # fmt: skip
    return per_picture / len(rows) + time_classifiers(job, train)


def time_classifiers(job: EvaluateJob, train: int) -> float:
    """Seconds of training those that see labels on so many pictures, and of what they predict."""
    config, vocabulary = best_of_config(train, job.config.size), job.real.vocabulary
    networks = 2 if label_attributes(job.real, job.synthetic, job.config).real.names else 1
    speed = measure_speed(config, task_of(max(len(vocabulary.findings), 2), vocabulary.exclusive))
    validated = config.epochs * int((splits_of(job.real) == "validation").sum())
    training = TRIES * (config.steps(train) * speed.step + validated * speed.prediction)
    return networks * (training + len(job.synthetic.table) * speed.prediction)


def time_metrics(job: EvaluateJob, findings: Sequence[str], extractor: Extractor) -> float:
    """Seconds of every metric with its interval and reference, each finding as its halves take on noise."""
    config, rng, seconds = job.config, np.random.default_rng(0), 0.0
    real, synthetic = (open_images(found, config) for found in (job.real, job.synthetic))
    part, measure = rows_of(real.splits, job.against), metrics_of(extractor, config.neighbours)
    for group in choose_groups(real, part, synthetic, findings, config):
        halves = [rng.normal(size=(len(rows) // 2, extractor.dimension)).astype(np.float32) for rows in group.rows]
        seconds += (config.resamples + 2 * config.splits) * timed(measure, *halves).seconds
    pixels = rng.integers(0, 256, (PROBED, config.size, config.size), np.uint8)
    pairs = draw_pairs(PROBED, PROBED, rng)
    return seconds + 2 * len(findings) * config.pairs * timed(similarity, pixels, pairs).seconds / len(pairs)
