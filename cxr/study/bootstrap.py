"""AUROC of the same networks with other patients: whole patients are drawn anew, the same ones for every trial."""

from collections.abc import Sequence

import numpy as np

from cxr.study.components import averaged

BLOCK = 250  # resamples at a time, so that the counts of many pictures fit into the processor's cache


def resampled(
    trials: Sequence[np.ndarray], labels: np.ndarray, patients: np.ndarray, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """AUROC [T, resamples]; not a number where a draw misses a class.

    Args:
        trials: the class probabilities [N, C] of each.
        labels: class numbers int [N].
        patients: int [N], from 0 to P - 1.
    """
    blocks = []
    for start in range(0, resamples, BLOCK):
        counts = drawn(patients, min(BLOCK, resamples - start), rng)
        blocks.append([weighted_auroc(probabilities, labels, counts) for probabilities in trials])
    return np.concatenate(blocks, axis=1)


def drawn(patients: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each picture is there, float32 [resamples, N], when as many patients are drawn as there are."""
    count = patients.max() + 1
    return rng.multinomial(count, np.full(count, 1 / count), resamples).astype(np.float32)[:, patients]


def weighted_auroc(probabilities: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[B], of two classes that of the last, of more the mean of each against the others.

    Args:
        counts: float [B, N], how often each picture is there.
    """
    numbers = averaged(probabilities.shape[1])
    return np.mean([_of_class(probabilities[:, number], labels == number, counts) for number in numbers], axis=0)


def _of_class(scores: np.ndarray, shown: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The share of pairs in which the picture that shows the class has the higher score; equal ones count half."""
    order = np.argsort(scores[~shown])
    ranked = scores[~shown][order]
    below = np.zeros((len(counts), len(ranked) + 1))  # double: counts of pairs outgrow single
    np.cumsum(counts[:, ~shown][:, order], axis=1, out=below[:, 1:])
    left, right = (np.searchsorted(ranked, scores[shown], side) for side in ("left", "right"))
    positives = counts[:, shown]
    wins = np.einsum("bn,bn->b", positives, below[:, left]) + np.einsum("bn,bn->b", positives, below[:, right])
    pairs = positives.sum(axis=1, dtype=float) * below[:, -1]
    return np.divide(wins / 2, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)
