"""What a classifier learns, one finding a picture or several: its loss, what its outputs mean, and its metrics."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from cxr.classify.curve import ValidationPoint
from cxr.classify.metrics import auroc, binary_auroc
from cxr.errors import BadInput


class Task(Protocol):
    @property
    def outputs(self) -> int:
        """Of the network, one a finding."""

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """What the network learns of labels float32 [N, outputs], as `label_matrix` gives them."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The sum over pictures, of logits float32 [B, outputs]."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of each finding, float32 [B, outputs]."""

    def auroc(self, probabilities: np.ndarray, targets: np.ndarray) -> float:
        """By which validation chooses a training's best point."""

    def accuracy(self, probabilities: np.ndarray, targets: np.ndarray) -> float: ...

    def rank(self, point: ValidationPoint) -> float:
        """By which validation chooses among trainings, the higher the better."""

    def check_validation(self, targets: np.ndarray) -> None:
        """`BadInput` unless these can choose."""


def task_of(outputs: int, exclusive: bool) -> Task:
    """Of so many findings, of which each picture shows exactly one or any."""
    return OneFinding(outputs) if exclusive else SeveralFindings(outputs)


@dataclass(frozen=True)
class OneFinding:
    """Findings exclude each other: softmax. Targets are their numbers, int64 [N]."""

    outputs: int

    def targets(self, labels: np.ndarray) -> np.ndarray:
        return labels.argmax(axis=1)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, reduction="sum")

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)

    def auroc(self, probabilities: np.ndarray, targets: np.ndarray) -> float:
        return auroc(probabilities, targets)

    def accuracy(self, probabilities: np.ndarray, targets: np.ndarray) -> float:
        return float((probabilities.argmax(axis=1) == targets).mean())

    def rank(self, point: ValidationPoint) -> float:
        return point.accuracy

    def check_validation(self, targets: np.ndarray) -> None:
        lacking = set(range(self.outputs)) - set(targets.tolist())
        if lacking:
            raise BadInput(
                f"the validation part shows no picture of class {min(lacking)}; it needs every class to choose"
            )


@dataclass(frozen=True)
class SeveralFindings:
    """A picture can show several: a sigmoid each. Targets are the labels, float32 [N, outputs]: 1 present, 0 absent;
    not a number: left out, so that it gives no gradient."""

    outputs: int

    def targets(self, labels: np.ndarray) -> np.ndarray:
        return labels.astype(np.float32)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy, the mean over findings: an unknown label counts as none, so that the shares that
        workers have of a batch add up."""
        each = F.binary_cross_entropy_with_logits(logits, targets.nan_to_num(0.0), reduction="none")
        return each[~targets.isnan()].sum() / self.outputs

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def auroc(self, probabilities: np.ndarray, targets: np.ndarray) -> float:
        """The mean over findings that are present in some pictures and absent in others."""
        return float(np.nanmean([binary_auroc(*pair) for pair in zip(probabilities.T, targets.T, strict=True)]))

    def accuracy(self, probabilities: np.ndarray, targets: np.ndarray) -> float:
        """The share of known labels that are right at 0.5."""
        return float(((probabilities > 0.5) == targets)[~np.isnan(targets)].mean())

    def rank(self, point: ValidationPoint) -> float:
        return point.auroc  # where findings are rare, saying that none is there is nearly always right

    def check_validation(self, targets: np.ndarray) -> None:
        if not any(len(np.unique(column[~np.isnan(column)])) == 2 for column in targets.T):
            raise BadInput(
                "the validation part shows no finding that is present in some pictures and absent in others; it needs "
                "one to choose"
            )
