"""Figures of one trial, each with what every test patient adds to it: from these all variances over patients follow.

Every metric here is a ratio of sums over pictures, R = sum(a) / sum(b), or a mean of such. For new patients of the same
population it varies as the sum of the patients' components u = sum(a - R b) / sum(b), so its variance is sum(u^2) and
the covariance of two trials on the same pictures sum(u v); a patient's pictures are summed first, so they may depend on
each other as they like. With a factor n / (n - 1), n the patients that b counts, one picture a patient gives the usual
variance of a proportion and, for the AUROC, exactly that of DeLong et al. 1988 (Biometrics 44, 837); several pictures
give that of Obuchowski 1997 (Biometrics 53, 567), but for factors of that kind in its covariance term. Sorting makes it
n log n (Sun and Xu 2014, IEEE Signal Process. Lett. 21, 1389, with ranks).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cxr.classify.metrics import averaged_classes
from cxr.classify.operating_point import Predictions
from cxr.report.proportions import count_independent
from cxr.study.results import METRICS

BINS = 15  # of the calibration error


@dataclass(frozen=True)
class MetricWithInfluence:
    """A metric on one test part."""

    value: float
    components: np.ndarray  # float64 [P], a patient each; their sum is 0
    patients: float  # independent ones that it counts as where they do not differ; 0: it is no share of patients

    def of_all(self, patients: int) -> "MetricWithInfluence":
        """The same where there are so many patients, of whom the last add nothing."""
        return replace(self, components=np.pad(self.components, (0, patients - len(self.components))))


def measure(found: Predictions, labels: np.ndarray, patients: np.ndarray) -> dict[str, MetricWithInfluence]:
    """`METRICS` of a trial. Of two classes the last is the positive one; of more, metrics are means over each against
    the others. The calibration error is that of the class of the highest probability, in 15 bins of equal width (Guo et
    al. 2017, arXiv:1706.04599).

    Args:
        labels: class numbers int [N]; every class is there.
        patients: int [N], from 0 to P - 1.
    """
    every, numbers = np.ones(len(labels)), averaged_classes(found.scores.shape[1])
    classes = [against_others(found, labels, patients, number) for number in numbers]
    accuracy = ratio(found.named == labels, every, patients)
    metrics = {name: mean([each[name] for each in classes], accuracy.patients) for name in classes[0]}
    metrics["accuracy"] = accuracy
    metrics["calibration_error"] = replace(ratio(_signed_gaps(found.calibrated, labels), every, patients), patients=0.0)
    return {name: metrics[name] for name in METRICS}


def against_others(
    found: Predictions, labels: np.ndarray, patients: np.ndarray, number: int
) -> dict[str, MetricWithInfluence]:
    """AUROC, sensitivity, specificity, precision and F1 of one class."""
    shown, named = labels == number, found.named == number
    both = shown & named
    return {
        "auroc": auroc(found.scores[:, number], shown, patients),
        "sensitivity": ratio(both, shown, patients),
        "specificity": ratio(~shown & ~named, ~shown, patients),
        "precision": ratio(both, named, patients),
        "f1": ratio(2 * both, shown.astype(int) + named, patients),
    }


def auroc(scores: np.ndarray, shown: np.ndarray, patients: np.ndarray) -> MetricWithInfluence:
    """Of scores [N] for pictures that show the class (bool [N]); equal scores count half.

    Where patients do not differ it counts as many of them as give it the variance of Hanley and McNeil 1982 (Radiology
    143, 29) in the form of Newcombe 2006 (Stat. Med. 25, 559, method 5).
    """
    wins = np.empty(len(scores))
    wins[shown] = _share_below(scores[shown], scores[~shown])
    wins[~shown] = 1 - _share_below(scores[~shown], scores[shown])
    sides = [ratio(wins * side, side, patients) for side in (shown, ~shown)]
    value, (m, n) = sides[0].value, (side.patients for side in sides)
    pairs = 1 + ((m + n) / 2 - 1) * ((1 - value) / (2 - value) + value / (1 + value))
    every = count_independent(np.bincount(patients))
    return MetricWithInfluence(value, sides[0].components + sides[1].components, min(m * n / pairs, every))


def average_precision(scores: np.ndarray, shown: np.ndarray, patients: np.ndarray) -> MetricWithInfluence:
    """AUPRC of scores [N] for pictures that show the finding (bool [N]): the mean, over these, of the precision among
    pictures with their score or a higher one.

    It is no ratio of sums: a picture also changes the precision at all lower scores. Its component is the derivative by
    its weight, which holds both (the infinitesimal jackknife).
    """
    order = np.argsort(-scores, kind="stable")
    ranked, positive = -scores[order], shown[order].astype(float)
    first, last = np.searchsorted(ranked, ranked, "left"), np.searchsorted(ranked, ranked, "right")
    precision, count = np.cumsum(positive)[last - 1] / last, positive.sum()
    value = float(positive @ precision / count)

    def at_most(values: np.ndarray) -> np.ndarray:
        """Sums over the pictures with each one's score or a lower one."""
        return np.cumsum(values[::-1])[::-1][first]

    own, others = positive * (precision - value), positive * at_most(positive / last)
    slopes = (own + others - at_most(positive * precision / last)) / count
    carriers = np.bincount(patients, shown)
    counted = int(np.count_nonzero(carriers))
    components = np.bincount(patients[order], slopes) * np.sqrt(counted / max(counted - 1, 1))
    return MetricWithInfluence(value, components, count_independent(carriers))


def _share_below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each of scores [M] the share of [N] others that are lower."""
    ranked = np.sort(others)
    return (np.searchsorted(ranked, scores, "left") + np.searchsorted(ranked, scores, "right")) / (2 * len(ranked))


def ratio(above: np.ndarray, below: np.ndarray, patients: np.ndarray) -> MetricWithInfluence:
    """sum(above) / sum(below) of [N] each; 0 where there is nothing below."""
    total = float(below.sum())
    value = float(above.sum() / total) if total else 0.0
    sums = np.bincount(patients, above - value * below) / max(total, 1)
    counted = int(np.count_nonzero(np.bincount(patients[below > 0])))
    weights = np.bincount(patients, below)
    return MetricWithInfluence(value, sums * np.sqrt(counted / max(counted - 1, 1)), count_independent(weights))


def mean(metrics: Sequence[MetricWithInfluence], patients: float) -> MetricWithInfluence:
    """Of metrics of classes, which are of different patients, but of no more than there are independent ones."""
    components = np.mean([metric.components for metric in metrics], axis=0)
    counts = [metric.patients for metric in metrics]
    different = len(counts) ** 2 / sum(1 / count for count in counts) if all(counts) else 0.0
    return MetricWithInfluence(
        float(np.mean([metric.value for metric in metrics])), components, min(different, patients)
    )


def _signed_gaps(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What each picture adds to the expected calibration error times N: the signs of the bins are taken as fixed."""
    sure, right = probabilities.max(axis=1).astype(float), probabilities.argmax(axis=1) == labels
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    return (sure - right) * np.sign(np.bincount(bins, sure - right))[bins]
