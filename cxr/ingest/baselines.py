"""What a score is worth without any learning of disease: majority class, view alone, ridge regression on 32x32 pixels.

A network that does not clearly beat them has learned the shortcuts of its data set.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge

from cxr.classify.metrics import class_aurocs, draw_patients
from cxr.data.images import fit_square

Interval = tuple[float, float]
ALPHAS = tuple(10.0**k for k in range(-1, 6))
RESAMPLES = 500
RIDGE_SIDE = 32  # pixels


@dataclass(frozen=True)
class Baseline:
    """Measured on the test part; the intervals are 95 % bootstrap intervals over patients. None: does not apply."""

    name: str
    accuracy: float | None
    accuracy_interval: Interval | None
    auc: float | None  # of two findings the usual one, of more the mean of one against the rest
    auc_interval: Interval | None


def measure_baselines(
    thumbnails: np.ndarray,
    findings: Sequence[str],
    views: Sequence[str | None],
    groups: Sequence[Hashable],
    split: Sequence[str],
    rng: np.random.Generator,
) -> list[Baseline]:
    """Fits each on train (ridge's penalty is chosen on validation) and measures it on test.

    Args:
        thumbnails: uint8 [N, side, side], at least 32 pixels a side.
        groups: patients, which the bootstrap draws whole.
    """
    names, labels = np.unique(np.asarray(findings), return_inverse=True)
    rows = {part: np.flatnonzero(np.asarray(split) == part) for part in ("train", "validation", "test")}
    classes, test, train = len(names), rows["test"], rows["train"]
    if not len(test) or not len(train):
        return [Baseline(name, None, None, None, None) for name in ("majority class", "view alone", "ridge on 32x32")]
    patients = np.unique([str(groups[row]) for row in test.tolist()], return_inverse=True)[1]
    counts = np.concatenate([np.ones((1, len(test))), draw_patients(patients, RESAMPLES, rng)])
    majority = np.bincount(labels[train], minlength=classes)
    constant = np.tile(majority / majority.sum(), (len(test), 1))
    scores = _view_scores(views, labels, train, test, classes) if any(view is not None for view in views) else None
    ridge = _ridge_scores(thumbnails, labels, rows, classes)
    truth = labels[test]
    return [
        _measure("majority class", constant, truth, counts, has_auc=False),
        _measure("view alone", scores, truth, counts, has_auc=classes == 2),
        _measure("ridge on 32x32", ridge, truth, counts, has_auc=True),
    ]


def _view_scores(
    views: Sequence[str | None], labels: np.ndarray, train: np.ndarray, test: np.ndarray, classes: int
) -> np.ndarray:
    """P(finding | view) in train, [test, classes]; of a view that train lacks, P(finding)."""
    overall = np.bincount(labels[train], minlength=classes)
    counted: dict[str | None, np.ndarray] = {}
    for row in train:
        counted.setdefault(views[row], np.zeros(classes))[labels[row]] += 1
    counts = np.array([counted.get(views[row], overall) for row in test], float)
    return counts / counts.sum(axis=1, keepdims=True)


def _ridge_scores(thumbnails: np.ndarray, labels: np.ndarray, rows: dict[str, np.ndarray], classes: int) -> np.ndarray:
    small = np.array([fit_square(thumbnail, RIDGE_SIDE, "square") for thumbnail in thumbnails])
    pixels = small.reshape(len(small), -1).astype(np.float32) / 255
    targets = np.where(np.eye(classes, dtype=bool)[labels], 1.0, -1.0)
    fits = [Ridge(alpha=alpha).fit(pixels[rows["train"]], targets[rows["train"]]) for alpha in ALPHAS]
    chooser = rows["validation"]
    best = fits[ALPHAS.index(100.0)]
    if len(chooser):
        best = max(fits, key=lambda fit: (fit.predict(pixels[chooser]).argmax(axis=1) == labels[chooser]).mean())
    return best.predict(pixels[rows["test"]])


def _measure(name: str, scores: np.ndarray | None, truth: np.ndarray, counts: np.ndarray, has_auc: bool) -> Baseline:
    """Of scores [N, C].

    Args:
        counts: float [1 + B, N], how often each picture is there: once each, then of each bootstrap sample.
    """
    if scores is None:
        return Baseline(name, None, None, None, None)
    accuracies = counts @ (scores.argmax(axis=1) == truth) / counts.sum(axis=1)
    areas = class_aurocs(scores, truth, counts) if has_auc else np.empty((0, len(counts)))
    with np.errstate(invalid="ignore"):
        means = np.nansum(areas, axis=0) / (~np.isnan(areas)).sum(axis=0)  # of the findings that have both sides
    return Baseline(name, *_with_interval(accuracies), *_with_interval(means))


def _with_interval(values: np.ndarray) -> tuple[float | None, Interval | None]:
    """The first, with the 95 % interval that the others give; None where it is no number."""
    if np.isnan(values[0]):
        return None, None
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return float(values[0]), (float(low), float(high))
