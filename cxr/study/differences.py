"""Arms compared: with the baseline, and with the control of as much real and no synthetic data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cxr.study.components import Measured
from cxr.study.results import METRICS, Difference
from cxr.study.statistics import LEVEL, delong, estimate, holm, unseen, welch

CORRECTED = {"p": "p_holm", "welch_p": "welch_holm", "delong_p": "delong_holm"}


@dataclass(frozen=True)
class Measurements:
    """What the trials of one arm measured."""

    seeds: list[int]
    figures: list[dict[str, Measured]]  # of each seed
    resampled: np.ndarray  # [S, B], AUROC with patients drawn anew

    def of(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Values [S] and components [S, P]."""
        chosen = [figures[metric] for figures in self.figures]
        return np.array([figure.value for figure in chosen]), np.array([figure.components for figure in chosen])

    def unseen(self, metric: str) -> float:
        """The variance of the mean that no patient need have shown: see `statistics.unseen`."""
        chosen = [figures[metric] for figures in self.figures]
        return unseen(*(float(np.mean([getattr(one, name) for one in chosen])) for name in ("value", "patients")))

    def with_seeds(self, seeds: Sequence[int]) -> "Measurements":
        rows = [self.seeds.index(seed) for seed in seeds]
        return Measurements(list(seeds), [self.figures[row] for row in rows], self.resampled[rows])


def family(arms: dict[str, Measurements], against: dict[str, str]) -> dict[str, list[Difference]]:
    """The differences of each arm of `against` from the one it names there, corrected over them, metric by metric. Arms
    that share no seed are left out.

    A difference counts after Holm's correction, so what is detectable is so at the level of its first step, which is
    enough whatever the other arms show.
    """
    pairs = {arm: common(arms[arm], arms[other]) for arm, other in against.items() if {arm, other} <= arms.keys()}
    pairs = {arm: pair for arm, pair in pairs.items() if pair[0].seeds}
    found: dict[str, list[Difference]] = {arm: [] for arm in pairs}
    for metric in METRICS:
        differences = corrected(
            [difference(*pair, against[arm], metric, LEVEL / len(pairs)) for arm, pair in pairs.items()]
        )
        for arm, one in zip(pairs, differences, strict=True):
            found[arm].append(one)
    return found


def common(first: Measurements, second: Measurements) -> tuple[Measurements, Measurements]:
    """Both with the seeds that they share."""
    seeds = [seed for seed in first.seeds if seed in second.seeds]
    return first.with_seeds(seeds), second.with_seeds(seeds)


def difference(first: Measurements, second: Measurements, against: str, metric: str, level: float) -> Difference:
    """The first less the second, which have the same seeds; not yet corrected.

    Args:
        level: that p must be below, so that it is so after the correction too.
    """
    (values, components), (others, their_components) = first.of(metric), second.of(metric)
    paired = values - others, components - their_components
    found, bounds, of_these = estimate(*paired, first.unseen(metric) + second.unseen(metric)), (None, None), None
    if metric == "auroc":
        bounds = quantiles((first.resampled - second.resampled).mean(axis=0))
        of_these = delong(*paired)
    low, high = found.interval()
    p, over_seeds = found.p(), welch(values, others)
    return Difference(
        against, metric, found.mean, max(-1.0, low), min(1.0, high), p, p, over_seeds, over_seeds, of_these, of_these,
        *bounds, found.detectable(level) if estimate(*paired).error else None,
    )  # fmt: skip


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """With Holm's correction of each kind of p over all that have it."""
    found = list(differences)
    for name, holm_name in CORRECTED.items():
        rows = [row for row, one in enumerate(found) if getattr(one, name) is not None]
        for row, p in zip(rows, holm([getattr(found[row], name) for row in rows]), strict=True):
            found[row] = replace(found[row], **{holm_name: p})
    return found


def quantiles(draws: np.ndarray) -> tuple[float, float]:
    """Of 95 % of those draws that hold every class."""
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)
