"""A share with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr.report.proportions import clopper_pearson, clustered_interval


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval (`cxr.report.proportions`)."""

    share: float
    low: float
    high: float
    count: int
    total: int


def rate(hits: np.ndarray, patients: Sequence[str] | np.ndarray | None = None) -> Rate:
    """Of bool [N], N at least 1.

    Args:
        patients: [N], whose each picture is, where they are a sample of patients; a picture without one has an id of
            its own. None: every picture stands for itself, as a generated one does.
    """
    count, total = int(hits.sum()), len(hits)
    low, high = (
        clopper_pearson(count / total, total) if patients is None else clustered_interval(hits, np.asarray(patients))
    )
    return Rate(count / total, low, high, count, total)
