"""What pictures are worth to a classifier that sees no others: read off the learning curve of real phantoms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cxr.classify.config import ClassifyConfig
from cxr.data.images import fit_square
from cxr.jobs.pretrain import labelled_phantoms
from cxr.progress import progress
from cxr.store import open_store
from cxr.study.learning_results import LearningCurve
from cxr.study.results import TestSet, read_trial, trial_key
from cxr.study.trial import TrialSpec, TrialWorker
from cxr.study.worth import Mix, learn, measure_auroc

SERIES = 777  # of the real phantoms, other than any that a model or judge was trained on
PARTS = (8, 4, 2, 1)  # the sizes of the curve: so many-th parts
VALIDATION, TEST, VIEWS = 300, 999, 3  # pictures; three in a row show one patient
SEEDS = (1, 2, 3)
CLASSIFIER = ClassifyConfig(
    network="cnn", pretrained=False, resize=64, size=64, crop_scale=(1, 1), flip=False, rotation=0, jitter=0, epochs=12,
    batch=32, learning_rate=2e-3,
)  # fmt: skip


def read_worths(work: Path, made: Mapping[str, np.ndarray], asked: np.ndarray, classes: int) -> LearningCurve | None:
    """The curve, and as how many real pictures each set of `made`, uint8 [N, S, S], is read on it; trials are kept.

    Args:
        asked: of each picture of a set, the class number that it should show; int [N].
    """
    count, size = len(asked), next(iter(made.values())).shape[1]
    parts = [labelled_phantoms(SERIES + number, rows, size) for number, rows in enumerate((count, VALIDATION, TEST))]
    pixels = np.stack([fit_square(one, CLASSIFIER.resize, "square")
                       for series in (*(part for part, _ in parts), *made.values()) for one in series])  # fmt: skip
    labels = np.concatenate([named for _, named in parts] + [asked] * len(made))
    validation, test = np.arange(count, count + VALIDATION), np.arange(count + VALIDATION, count + VALIDATION + TEST)
    worker = TrialWorker(
        open_store(str(work / "worth")), "", TrialSpec("", 0, [], 0, 0), classes, validation, test, CLASSIFIER,
        "youden", False, 1,
    )  # fmt: skip
    specs, trials = list(trial_specs(count, test[-1] + 1, list(made))), []
    with progress("worth", len(specs), "trials") as advance:
        for spec in specs:
            replace(worker, spec=spec)(lambda news: None, pixels, labels)
            trial = read_trial(worker.store, trial_key(spec.arm, spec.seed), worker.recipe)
            if trial is None:
                raise RuntimeError(f"trial {spec.name} failed")
            trials.append(trial)
            advance(1)
    ids, patients = [f"{row}" for row in test], [f"{row // VIEWS}" for row in range(TEST)]
    measured = measure_auroc(trials, TestSet(ids, labels[test].tolist(), patients, {}))
    mixes = [Mix(name, 0, count, measured[name]) for name in made]
    return learn({count // part: measured[f"real-{part}"] for part in PARTS}, mixes, np.random.default_rng(0))


def trial_specs(count: int, first: int, made: Sequence[str]) -> Iterator[TrialSpec]:
    """All for as many steps; sets of `count` pictures begin at row `first`."""
    steps = CLASSIFIER.steps(count)
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(count)
        for part in PARTS:
            yield TrialSpec(f"real-{part}", seed, [(order[: count // part], steps)], count // part, 0)
        for number, name in enumerate(made):
            yield TrialSpec(name, seed, [(first + count * number + order, steps)], 0, count)
