"""What a score is worth without any learning of disease: majority class, view alone, ridge regression on 32x32 pixels.

A network that does not clearly beat them has learned the shortcuts of its data set.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import solve

from cxr.classify.metrics import averaged_classes, class_aurocs, draw_patients
from cxr.data.duplicates import Thumbnails
from cxr.data.images import fit_square
from cxr.data.labels import Vocabulary

Interval = tuple[float, float]
ALPHAS = tuple(10.0**k for k in range(-1, 6))
USUAL_ALPHA = 100.0  # where there is no validation part to choose it on
RESAMPLES = 500
CELLS = 1 << 19  # of draws of patients that are in memory at once: draws times pictures
RIDGE_SIDE = 32  # pixels
PICTURES_AT_ONCE = 1 << 11
MAJORITY, VIEW, RIDGE = "majority class", "view alone", f"ridge on {RIDGE_SIDE}x{RIDGE_SIDE}"


@dataclass(frozen=True)
class Baseline:
    """Measured on the test part; the intervals are 95 % bootstrap intervals over patients. None: does not apply."""

    name: str
    accuracy: float | None
    accuracy_interval: Interval | None
    auc: float | None  # of two findings the usual one, of more the mean of one against the rest
    auc_interval: Interval | None
    finding: str | None = None  # None: of all findings, the mean of their AUC


Statistic = Callable[[np.ndarray], np.ndarray]
"""A metric, [B], of how often each test picture is there, float [B, N]."""


def measure_baselines(
    thumbnails: Thumbnails,
    labels: np.ndarray,
    vocabulary: Vocabulary,
    views: Sequence[str | None],
    groups: Sequence[Hashable],
    split: Sequence[str],
    rng: np.random.Generator,
) -> list[Baseline]:
    """Fits each on train (ridge's penalty is chosen on validation) and measures it on test.

    Where findings exclude each other: one baseline each, with accuracy; else one for all findings and for each.

    Args:
        thumbnails: at least 32 pixels a side.
        labels: float [N, F] of the vocabulary's findings: 1 present, 0 absent, not a number: left out.
        groups: patients, which the bootstrap draws whole.
    """
    rows = {part: np.flatnonzero(np.asarray(split) == part) for part in ("train", "validation", "test")}
    exclusive, train, test = vocabulary.exclusive, rows["train"], rows["test"]
    names = [MAJORITY, VIEW, RIDGE] if exclusive else [VIEW, RIDGE]
    if not len(test) or not len(train):
        return [Baseline(name, None, None, None, None) for name in names]
    patients = np.unique([str(groups[row]) for row in test.tolist()], return_inverse=True)[1]
    scores: dict[str, np.ndarray] = {RIDGE: _ridge_scores(thumbnails, labels, rows, exclusive)}
    if any(view is not None for view in views):
        scores[VIEW] = _view_scores(views, labels, train, test)
    if exclusive:
        scores[MAJORITY] = np.tile(np.nanmean(labels[train], axis=0), (len(test), 1))
    statistics: dict[tuple[str, str | None], Statistic] = {}
    for name, found in scores.items():
        if exclusive:
            statistics[name, None] = _accuracy(found, labels[test])
        if name == RIDGE or (name == VIEW and (not exclusive or len(vocabulary.findings) == 2)):
            for number in averaged_classes(len(vocabulary.findings)) if exclusive else range(len(vocabulary.findings)):
                statistics[name, vocabulary.findings[number]] = partial(_auc, found[:, number], labels[test, number])
    values = _resample(statistics, patients, rng)
    return [one for name in names for one in _conclude(name, values, exclusive)]


def _view_scores(views: Sequence[str | None], labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """P(finding | view) in train, [test, F]; of a view that train lacks, P(finding)."""
    number = np.unique([view or "" for view in views], return_inverse=True)[1]
    overall = np.nan_to_num(_mean_known(labels[train]))
    scores = np.tile(overall, (number.max() + 1, 1))
    for view in np.unique(number[train]):
        known = _mean_known(labels[train[number[train] == view]])
        scores[view] = np.where(np.isnan(known), overall, known)
    return scores[number[test]]


def _mean_known(labels: np.ndarray) -> np.ndarray:
    """Of each column of [N, F] those that are numbers; not a number where none is."""
    known = (~np.isnan(labels)).sum(axis=0)
    return np.divide(np.nansum(labels, axis=0, dtype=float), known, out=np.full(len(known), np.nan), where=known > 0)


def _ridge_scores(
    thumbnails: Thumbnails, labels: np.ndarray, rows: dict[str, np.ndarray], exclusive: bool
) -> np.ndarray:
    """Scores [test, F] of ridge regression with an intercept on 1 present, -1 absent; what is left out counts as the
    mean. From the pixels' second moments (the normal equations), so that no more than a block of pictures is held."""
    train, chooser = rows["train"], rows["validation"]
    targets = 2 * labels[train] - 1
    level = np.nan_to_num(_mean_known(targets))
    size = RIDGE_SIDE**2
    total, moments, products = np.zeros(size), np.zeros((size, size)), np.zeros((size, labels.shape[1]))
    for start, pixels in _read_pixels(thumbnails, train):
        total += pixels.sum(axis=0)
        moments += pixels.T @ pixels
        products += pixels.T @ np.nan_to_num(targets[start : start + len(pixels)] - level)
    mean = total / len(train)
    moments -= len(train) * np.outer(mean, mean)
    weights = {
        alpha: solve(moments + alpha * np.eye(size), products, assume_a="pos")
        for alpha in (ALPHAS if len(chooser) else [USUAL_ALPHA])
    }

    def predict(part: np.ndarray, alphas: Sequence[float]) -> np.ndarray:
        """[A, n, F]."""
        found = np.empty((len(alphas), len(part), labels.shape[1]))
        for start, pixels in _read_pixels(thumbnails, part):
            for number, alpha in enumerate(alphas):
                found[number, start : start + len(pixels)] = (pixels - mean) @ weights[alpha] + level
        return found

    best = USUAL_ALPHA
    if len(chooser):
        judge = _accuracy if exclusive else _mean_auc
        once = np.ones((1, len(chooser)))
        worth = [judge(found, labels[chooser])(once)[0] for found in predict(chooser, ALPHAS)]
        best = ALPHAS[int(np.argmax(np.nan_to_num(worth)))]
    return predict(rows["test"], [best])[0]


def _read_pixels(thumbnails: Thumbnails, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Where each block begins, and its pixels, float64 [n, 1024], black 0 and white 1."""
    for start in range(0, len(rows), PICTURES_AT_ONCE):
        few = thumbnails[rows[start : start + PICTURES_AT_ONCE]]
        small = np.array([fit_square(thumbnail, RIDGE_SIDE, "square") for thumbnail in few])
        yield start, small.reshape(len(small), -1) / 255


def _accuracy(scores: np.ndarray, truth: np.ndarray) -> Statistic:
    right = scores.argmax(axis=1) == truth.argmax(axis=1)
    return lambda counts: counts @ right / counts.sum(axis=1)


def _auc(scores: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of one finding [N]."""
    known = np.flatnonzero(~np.isnan(truth))
    both = np.stack([-scores[known], scores[known]], axis=1)
    return class_aurocs(both, truth[known].astype(int), counts[:, known])[0]


def _mean_auc(scores: np.ndarray, truth: np.ndarray) -> Statistic:
    """Of the findings [N, F] that have both sides."""
    columns = list(zip(scores.T, truth.T, strict=True))
    return lambda counts: _mean_known(np.array([_auc(*column, counts) for column in columns]))


def _resample(
    statistics: dict[tuple[str, str | None], Statistic], patients: np.ndarray, rng: np.random.Generator
) -> dict[tuple[str, str | None], np.ndarray]:
    """Each of the pictures as they are, and then of each draw of patients: [1 + RESAMPLES]."""
    once = np.ones((1, len(patients)))
    values = {what: [statistic(once)] for what, statistic in statistics.items()}
    step = max(1, CELLS // len(patients))
    for start in range(0, RESAMPLES, step):
        counts = draw_patients(patients, min(step, RESAMPLES - start), rng).astype(float)
        for what, statistic in statistics.items():
            values[what].append(statistic(counts))
    return {what: np.concatenate(found) for what, found in values.items()}


def _conclude(name: str, values: dict[tuple[str, str | None], np.ndarray], exclusive: bool) -> Iterator[Baseline]:
    """Of all findings, and where they do not exclude each other of each."""
    areas = {finding: found for (whose, finding), found in values.items() if whose == name and finding is not None}
    mean = _mean_known(np.array(list(areas.values()))) if areas else np.full(1, np.nan)
    yield Baseline(name, *_with_interval(values.get((name, None), np.full(1, np.nan))), *_with_interval(mean))
    for finding, found in areas.items() if not exclusive else ():
        yield Baseline(name, None, None, *_with_interval(found), finding)


def _with_interval(values: np.ndarray) -> tuple[float | None, Interval | None]:
    """The first, with the 95 % interval that the others give; None where it is no number."""
    if np.isnan(values[0]):
        return None, None
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return float(values[0]), (float(low), float(high))
