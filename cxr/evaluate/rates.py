"""A share with its interval."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval (Clopper and Pearson 1934)."""

    share: float
    low: float
    high: float
    count: int
    total: int


def rate(hits: np.ndarray) -> Rate:
    """Of bool [N], N at least 1."""
    count, total = int(hits.sum()), len(hits)
    bounds = binomtest(count, total).proportion_ci(method="exact")
    return Rate(count / total, float(bounds.low), float(bounds.high), count, total)
