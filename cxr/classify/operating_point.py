"""From probabilities to calibrated ones and to decisions: both chosen on the validation part, as the checkpoint is."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import roc_curve

TEMPERATURES = 0.05, 20.0  # a network that names every validation picture rightly would have none at all
LEAST = 1e-300  # probability, so that its logarithm is a number


@dataclass(frozen=True)
class Predictions:
    """Of N pictures and C classes."""

    scores: np.ndarray  # float [N, C], probabilities as the network gave them; the AUROC goes by their order
    calibrated: np.ndarray  # float [N, C]
    named: np.ndarray  # int [N], the class that each picture is taken for

    def of(self, rows: np.ndarray) -> "Predictions":
        """Of some pictures, int or bool [M]."""
        return Predictions(self.scores[rows], self.calibrated[rows], self.named[rows])


@dataclass(frozen=True)
class OperatingPoint:
    """How probabilities of a trained network are read."""

    temperature: float = 1.0  # that logits are divided by
    threshold: float | None = None  # of the last of two classes' calibrated probability; None: the most probable class

    def read(self, scores: np.ndarray) -> Predictions:
        """Of float [N, C]."""
        calibrated = softmax(np.log(np.maximum(scores, LEAST)) / self.temperature, axis=1)
        named = scores.argmax(axis=1) if self.threshold is None else (calibrated[:, 1] >= self.threshold).astype(int)
        return Predictions(scores, calibrated, named)


def choose_operating_point(probabilities: np.ndarray, labels: np.ndarray, rule: str) -> OperatingPoint:
    """From a part that the network was not trained on.

    Args:
        probabilities: float [N, C].
        labels: class numbers int [N], every class is there.
        rule: which threshold of two classes: 0.5, or as `choose_threshold` has it. Of more, the most probable class is
            named whatever it says.
    """
    plain = OperatingPoint(fit_temperature(probabilities, labels))
    if probabilities.shape[1] > 2 or rule == "0.5":
        return plain
    scores = plain.read(probabilities).calibrated[:, 1]
    return OperatingPoint(plain.temperature, choose_threshold(scores, labels == 1, rule))


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Of the least cross-entropy (Guo et al. 2017, arXiv:1706.04599)."""
    logits, rows = np.log(np.maximum(probabilities, LEAST)), np.arange(len(labels))

    def loss(power: float) -> float:
        return -float(log_softmax(logits / np.exp(power), axis=1)[rows, labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def choose_threshold(scores: np.ndarray, shown: np.ndarray, rule: str) -> float:
    """Midway between two neighbouring scores, so that pictures just beyond those of the validation part fall to the
    nearer side.

    Args:
        scores: float [N]; shown: bool [N], both kinds are there.
        rule: youden: the highest sensitivity + specificity - 1 (Youden 1950, Cancer 3, 32); f1: the highest F1;
            sensitivity=S: the highest that finds S of the pictures that show the class.
    """
    false_alarms, found, levels = roc_curve(shown, scores, drop_intermediate=False)
    false_alarms, found, levels = false_alarms[1:], found[1:], levels[1:]  # the first names nothing
    if rule == "youden":
        best = int(np.argmax(found - false_alarms))
    elif rule == "f1":
        named = found * shown.sum() + false_alarms * (~shown).sum()
        best = int(np.argmax(2 * found * shown.sum() / (named + shown.sum())))
    else:
        best = int(np.argmax(found >= float(rule.partition("=")[2]) - 1e-9))
    below = levels[best + 1] if best + 1 < len(levels) else 0.0
    return float((levels[best] + below) / 2)
