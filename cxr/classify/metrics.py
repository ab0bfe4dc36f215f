"""AUROC and AUPRC of class probabilities; AUROC also of many draws of patients at once."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

BLOCK = 250  # draws at a time, so that the counts of many pictures fit into the processor's cache


def auroc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Of [N, C] and class numbers [N], every class is there: of two classes that of the last; of more, the mean of each
    against the others."""
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    one_hot = labels[:, None] == np.arange(probabilities.shape[1])
    return float(roc_auc_score(one_hot, probabilities, average="macro"))


def binary_auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Of one finding, scores [N] and labels [N] of 1, 0 and not a number, which are left out; not a number where one
    side is missing."""
    known = ~np.isnan(labels)
    if len(np.unique(labels[known])) < 2:
        return float("nan")
    return float(roc_auc_score(labels[known], scores[known]))


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Of one finding, likewise: the area under the curve of precision against sensitivity as a sum of steps (AUPRC)."""
    known = ~np.isnan(labels)
    if len(np.unique(labels[known])) < 2:
        return float("nan")
    return float(average_precision_score(labels[known], scores[known]))


def averaged_classes(classes: int) -> range:
    """The classes that a metric is the mean of: of two the last, of more all."""
    return range(1, 2) if classes == 2 else range(classes)


def resample_auroc(
    trials: Sequence[np.ndarray], labels: np.ndarray, patients: np.ndarray, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """AUROC [T, resamples] of the same networks with other patients: whole patients are drawn anew, the same ones for
    every trial. Not a number where a draw misses a class.

    Args:
        trials: the class probabilities [N, C] of each.
        labels: class numbers int [N]; or where a picture can show several findings, float [N, C] of 1, 0 and not a
            number: then it is the mean over the findings that a draw has on both sides.
        patients: int [N], from 0 to P - 1.
    """
    blocks = []
    for start in range(0, resamples, BLOCK):
        counts = draw_patients(patients, min(BLOCK, resamples - start), rng)
        mean = mean_finding_aurocs if labels.ndim == 2 else mean_class_aurocs
        blocks.append([mean(probabilities, labels, counts) for probabilities in trials])
    return np.concatenate(blocks, axis=1)


def draw_patients(patients: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each picture is there, float32 [resamples, N], when as many patients are drawn as there are."""
    count = patients.max() + 1
    return rng.multinomial(count, np.full(count, 1 / count), resamples).astype(np.float32)[:, patients]


def mean_class_aurocs(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[B], of scores [N, C], class numbers [N] and counts [B, N]."""
    return class_aurocs(scores, labels, counts).mean(axis=0)


def mean_finding_aurocs(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[B], of scores [N, F], labels [N, F] of 1, 0 and not a number, and counts [B, N]: the mean over those findings
    that are there on both sides."""
    known = ~np.isnan(labels)
    found = np.array([
        weighted_auroc(scores[rows, column], labels[rows, column] == 1, counts[:, rows])
        for column, rows in enumerate(known.T)
    ])  # fmt: skip
    there = ~np.isnan(found)
    return np.divide(found.sum(axis=0, where=there), there.sum(axis=0), out=np.full(len(counts), np.nan),
                     where=there.any(axis=0))  # fmt: skip


def class_aurocs(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AUROC of each of `averaged_classes` against the others, [C, B]: the share of pairs in which the picture that
    shows the class has the higher score, equal ones count half; not a number where a side is missing.

    Args:
        scores: [N, C].
        counts: float [B, N], how often each picture is there.
    """
    classes = averaged_classes(scores.shape[1])
    return np.array([weighted_auroc(scores[:, number], labels == number, counts) for number in classes])


def weighted_auroc(scores: np.ndarray, shown: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The same of one finding, [B], of scores [N] and of whether each picture shows it, bool [N]."""
    order = np.argsort(scores[~shown])
    ranked = scores[~shown][order]
    below = np.zeros((len(counts), len(ranked) + 1))  # double: counts of pairs outgrow single
    np.cumsum(counts[:, ~shown][:, order], axis=1, out=below[:, 1:])
    left, right = (np.searchsorted(ranked, scores[shown], side) for side in ("left", "right"))
    positives = counts[:, shown]
    wins = np.einsum("bn,bn->b", positives, below[:, left]) + np.einsum("bn,bn->b", positives, below[:, right])
    pairs = positives.sum(axis=1, dtype=float) * below[:, -1]
    return np.divide(wins / 2, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)
