"""How groups of test pictures and arms within them differ, in named records; a part of `results.json`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GroupDifference:
    """An arm less the baseline within a group, or a group less another, with its interval."""

    mean: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class SubgroupGap:
    """Between the worst and the best group of an attribute, from 0 up, with an interval of all pairs together."""

    attribute: str
    metric: str
    worst: str
    best: str
    mean: float
    low: float
    high: float
    p: float  # corrected over the pairs
