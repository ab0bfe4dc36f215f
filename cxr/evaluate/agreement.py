"""Do synthetic pictures show what was asked? Named by a classifier of real pictures that the caller brings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr.evaluate.rates import Rate, rate


@dataclass(frozen=True)
class Confusion:
    """counts[i][j]: pictures of finding i that the classifier names finding j."""

    counts: list[list[int]]
    agree: Rate
    findings: dict[str, Rate]


@dataclass(frozen=True)
class Agreement:
    findings: tuple[str, ...]
    synthetic: Confusion  # rows: asked
    real: Confusion  # rows: true, of the test part; what the classifier can do at best


def confusion(findings: Sequence[str], labels: np.ndarray, named: np.ndarray) -> Confusion:
    """Of class numbers int [N], as they should be and as the classifier names them; every class is among `labels`."""
    counts = np.zeros((len(findings), len(findings)), int)
    np.add.at(counts, (labels, named), 1)
    hits = labels == named
    rates = {finding: rate(hits[labels == number]) for number, finding in enumerate(findings)}
    return Confusion(counts.tolist(), rate(hits), rates)
