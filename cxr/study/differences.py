"""Arms compared with the baseline and with their controls: the primary one alone, all others as one family."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cxr.study.config import BASELINE, Arm
from cxr.study.influence import MetricWithInfluence
from cxr.study.results import AVERAGE_PRECISION, MAIN, METRICS, Difference, Spread, of_finding
from cxr.study.statistics import LEVEL, by_generator, delong, estimate, holm, unseen_variance, welch

CORRECTED = {"p": "p_holm", "welch_p": "welch_holm", "delong_p": "delong_holm", "margin_p": "margin_holm"}


@dataclass(frozen=True)
class Measurements:
    """What the trials of one arm measured."""

    seeds: list[int]
    metrics: list[dict[str, MetricWithInfluence]]  # of each seed
    resampled: np.ndarray  # [S, B], AUROC with patients drawn anew
    generators: tuple[int, ...] | None = None  # of each seed, whose pictures it trained on; None: one, or none

    def of(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Values [S] and components [S, P]."""
        chosen = [seed[metric] for seed in self.metrics]
        return np.array([one.value for one in chosen]), np.array([one.components for one in chosen])

    def unseen_variance(self, metric: str) -> float:
        """The variance of the mean that no patient need have shown: see `statistics.unseen_variance`."""
        chosen = [seed[metric] for seed in self.metrics]
        return unseen_variance(
            *(float(np.mean([getattr(one, name) for one in chosen])) for name in ("value", "patients"))
        )

    def with_seeds(self, seeds: Sequence[int]) -> "Measurements":
        rows = [self.seeds.index(seed) for seed in seeds]
        generators = self.generators and tuple(self.generators[row] for row in rows)
        return Measurements(list(seeds), [self.metrics[row] for row in rows], self.resampled[rows], generators)


def spread_of(metrics: Sequence[MetricWithInfluence], generators: Sequence[int] | None = None) -> Spread:
    """Of a metric between 0 and 1, from each seed's; of seeds of several generators see `over_generators`."""
    values, components = np.array([one.value for one in metrics]), np.array([one.components for one in metrics])
    if generators is not None and len({*generators}) > 1:
        values, components = by_generator(values, components, generators)
    found = estimate(values, components)
    bounds = found.interval_within_unit(float(np.mean([one.patients for one in metrics])))
    return Spread(found.mean, found.sd, *(bounds or (None, None)))


Pair = tuple[str, str]  # an arm and the one that it is compared with


def compare_arms(
    arms: Sequence[Arm], primary: str | None, measurements: dict[str, Measurements], margin: float | None = None
) -> dict[str, list[Difference]]:
    """By arm, against the baseline, then against its control.

    One comparison of the primary arm is tested alone, see `primary_pair`. All others together, with the baseline and
    with controls, are one family: two families that feed one answer would err twice as often as each says.

    Args:
        margin: a difference in AUROC that does not matter; None: no pair is tested for being equivalent.
    """
    pairs = list_pairs(arms)
    alone = primary_pair(arms, primary)
    found = family(measurements, [pair for pair in pairs if pair == alone], margin)
    found |= family(measurements, [pair for pair in pairs if pair != alone], margin)
    if alone and found.get(alone):
        found[alone] += compare_findings(measurements[alone[0]], measurements[alone[1]], alone[1])
    return {arm.name: [one for pair in pairs if pair[0] == arm.name for one in found.get(pair, [])] for arm in arms}


def list_pairs(arms: Sequence[Arm]) -> list[Pair]:
    """Each arm and the baseline, then the arm and its control."""
    others = {arm.name: dict.fromkeys((BASELINE, arm.control)) for arm in arms if arm.name != BASELINE}
    return [(arm, other) for arm, against in others.items() for other in against if other]


def primary_pair(arms: Sequence[Arm], primary: str | None) -> Pair | None:
    """The primary arm and the baseline; of an arm with a part of the real data, its control with the same part."""
    arm = next((arm for arm in arms if arm.name == primary), None)
    if arm is None:
        return None
    return arm.name, arm.control if arm.real < 100 and arm.control else BASELINE


def family(arms: dict[str, Measurements], pairs: Sequence[Pair], margin: float | None) -> dict[Pair, list[Difference]]:
    """The differences of each pair, metric by metric, corrected over the pairs. Arms that share no seed are left out.

    A difference counts after Holm's correction, so what is detectable is so at the level of its first step, which is
    enough whatever the other arms show.
    """
    sides = {(arm, other): share_seeds(arms[arm], arms[other]) for arm, other in pairs if {arm, other} <= arms.keys()}
    sides = {pair: both for pair, both in sides.items() if both[0].seeds}
    found: dict[Pair, list[Difference]] = {pair: [] for pair in sides}
    measured = next(iter(arms.values())).metrics[0]
    for metric in (name for name in (*METRICS, AVERAGE_PRECISION) if name in measured):
        level = LEVEL / max(1, len(sides))
        within = margin if metric == MAIN else None
        differences = correct_for_family(
            [difference(*both, pair[1], metric, level, within) for pair, both in sides.items()]
        )
        for pair, one in zip(sides, differences, strict=True):
            found[pair].append(one)
    return found


def compare_findings(first: Measurements, second: Measurements, against: str) -> list[Difference]:
    """The differences in AUROC of single findings, where pictures can show several: a family of their own."""
    both = share_seeds(first, second)
    names = [name for name in first.metrics[0] if name.startswith(of_finding(MAIN, ""))]
    return correct_for_family([difference(*both, against, name, LEVEL / len(names)) for name in names])


def share_seeds(first: Measurements, second: Measurements) -> tuple[Measurements, Measurements]:
    """Both with the seeds that they share."""
    seeds = [seed for seed in first.seeds if seed in second.seeds]
    return first.with_seeds(seeds), second.with_seeds(seeds)


def difference(
    first: Measurements,
    second: Measurements,
    against: str,
    metric: str,
    level: float,
    margin: float | None = None,
) -> Difference:
    """The first less the second, which have the same seeds; not yet corrected.

    Args:
        level: that p must be below, so that it is so after the correction too.
        margin: that the difference is tested to lie within; None: it is not.
    """
    (values, components), (others, their_components) = first.of(metric), second.of(metric)
    paired = over_generators(values - others, components - their_components, first, second)
    found = estimate(*paired, first.unseen_variance(metric) + second.unseen_variance(metric))
    drawn_low = drawn_high = of_these = None
    if metric == MAIN:
        drawn_low, drawn_high = interval_of_draws((first.resampled - second.resampled).mean(axis=0))
        of_these = delong(*paired)
    low, high = found.interval()
    p, over_seeds = found.p(), welch(values, others)
    outside = None if margin is None else found.p_within(margin)
    return Difference(
        against, metric, found.mean, max(-1.0, low), min(1.0, high), p, p, over_seeds, over_seeds, of_these, of_these,
        drawn_low, drawn_high, found.detectable(level) if estimate(*paired).error else None,
        outside, outside,
    )  # fmt: skip


def over_generators(values: np.ndarray, components: np.ndarray, *sides: Measurements) -> tuple[np.ndarray, np.ndarray]:
    """Of values and components of seeds what is replicated: the seeds, or the generators of a side that has several."""
    generators = next((one.generators for one in sides if one.generators and len({*one.generators}) > 1), None)
    return (values, components) if generators is None else by_generator(values, components, generators)


def correct_for_family(differences: Sequence[Difference]) -> list[Difference]:
    """With Holm's correction of each kind of p over all that have it."""
    found = list(differences)
    for name, holm_name in CORRECTED.items():
        rows = [row for row, one in enumerate(found) if getattr(one, name) is not None]
        for row, p in zip(rows, holm([getattr(found[row], name) for row in rows]), strict=True):
            changed: dict[str, Any] = {holm_name: p}
            found[row] = replace(found[row], **changed)
    return found


def interval_of_draws(draws: np.ndarray) -> tuple[float, float]:
    """Of 95 % of those draws that hold every class."""
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)
