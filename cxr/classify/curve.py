"""The validation curve of a training. Light: no torch."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ValidationPoint:
    """A validation during training."""

    step: int
    loss: float  # mean training loss since the last one
    auroc: float  # of the validation part
    accuracy: float
    test_auroc: float | None = None  # only where the bias of choosing on the test set is measured


def best_point(curve: Sequence[ValidationPoint], after: int = 0) -> int:
    """The number of the point past step `after` of the highest AUROC; of equals the lowest loss, then the earliest."""
    late = [number for number, point in enumerate(curve) if point.step > after]
    return max(late, key=lambda number: (curve[number].auroc, -curve[number].loss))
