"""Who is missed: metrics among test pictures of one sex, age or view, or of several of them, at each trial's own
operating point; how far the worst group is from the best, and what each arm does within each group.

Groups are named before the run. A gap is of the two groups that differ most, which chance also drives apart: its
interval is one of all pairs of groups together (Bonferroni), so that it holds whichever two they are. Patients who are
in several groups count in each, and their part in what groups share cancels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from cxr.classify.operating_point import Predictions
from cxr.study.config import BASELINE
from cxr.study.differences import Measurements, over_generators, share_seeds, spread_of
from cxr.study.influence import MetricWithInfluence, measure, ratio
from cxr.study.results import MAIN, ArmResult, Subgroup, TestSet
from cxr.study.statistics import LEVEL, estimate, holm
from cxr.study.subgroup_results import GroupDifference, SubgroupGap

LEAST = 10  # patients of a subgroup whose AUROC is shown
FALSE_NEGATIVES, FALSE_POSITIVES = "false negatives", "false positives"
GAPS = (MAIN, FALSE_NEGATIVES, FALSE_POSITIVES)


@dataclass(frozen=True)
class Group:
    """Test pictures of one value of an attribute, or of one of each of several."""

    attribute: str
    value: str
    rows: np.ndarray  # bool [N]
    patients: int


@dataclass(frozen=True)
class GroupResult:
    """What was found of an arm."""

    subgroups: list[Subgroup]
    gaps: list[SubgroupGap]


def list_groups(test: TestSet, attributes: Sequence[str]) -> list[Group]:
    """Those of two patients at least; of joined attributes those that are large enough for an AUROC."""
    patients, found = np.array(test.patients), []
    for attribute in attributes:
        names = attribute.split("+")
        columns = [test.groups.get(name, [None] * len(patients)) for name in names]
        values = [None if None in row else ", ".join(map(str, row)) for row in zip(*columns, strict=True)]
        for value in sorted({value for value in values if value is not None}):
            rows = np.array([other == value for other in values])
            count = len(np.unique(patients[rows]))
            if count >= (2 if len(names) == 1 else LEAST):
                found.append(Group(attribute, value, rows, count))
    return found


def measure_group(
    one: Predictions, labels: np.ndarray, owners: np.ndarray, group: Group, classes: int
) -> dict[str, MetricWithInfluence]:
    """Of a trial: accuracy; AUROC where every class is shown by two patients and the group has `LEAST`; of two classes
    the shares of missed and of falsely called pictures. Components are of all patients.

    Args:
        labels: int [N]; owners: int [N], the pictures' patients, from 0 to P - 1.
    """
    everybody, labels = int(owners.max()) + 1, labels[group.rows]
    own, patients = np.unique(owners[group.rows], return_inverse=True)
    inside, every = one.of(group.rows), np.ones(len(labels))
    found = {"accuracy": ratio(inside.named == labels, every, patients)}
    counts = [len(np.unique(patients[labels == number])) for number in range(classes)]
    if group.patients >= LEAST and min(counts) > 1:
        found[MAIN] = measure(inside, labels, patients)[MAIN]
    if classes == 2:
        shown, named = labels == 1, inside.named == 1
        sides = {FALSE_NEGATIVES: (shown, ~named, counts[1]), FALSE_POSITIVES: (~shown, named, counts[0])}
        found |= {name: ratio(of & wrong, of, patients) for name, (of, wrong, count) in sides.items() if count > 1}
    return {name: spread_out(metric, own, everybody) for name, metric in found.items()}


def spread_out(metric: MetricWithInfluence, places: np.ndarray, patients: int) -> MetricWithInfluence:
    """The same with components of all patients, of whom those of the group stand at these places."""
    components = np.zeros(patients)
    components[places] = metric.components
    return replace(metric, components=components)


def measure_subgroups(
    arms: Mapping[str, tuple[Sequence[int], Sequence[Predictions], tuple[int, ...] | None]],
    test: TestSet,
    classes: int,
    attributes: Sequence[str],
) -> dict[str, GroupResult]:
    """By arm.

    Args:
        arms: seeds, what their trials say of the test pictures, and their generators as of `Measurements`.
    """
    groups, labels = list_groups(test, attributes), np.array(test.labels)
    owners = np.unique(test.patients, return_inverse=True)[1]

    def measure_all(group: Group, seeds: Sequence[int], ran: Sequence[Predictions], *more: Any) -> Measurements:
        found = [measure_group(one, labels, owners, group, classes) for one in ran]
        return Measurements([*seeds], found, np.empty((len(found), 0)), *more)

    measured = {arm: [measure_all(group, *found) for group in groups] for arm, found in arms.items()}
    differences = compare_within(measured, groups)
    found = {}
    for arm, own in measured.items():
        subgroups = [
            describe_group(group, one, differences.get((arm, number)))
            for number, (group, one) in enumerate(zip(groups, own, strict=True))
        ]
        found[arm] = GroupResult(subgroups, find_gaps(groups, own, attributes))
    return found


def describe_group(group: Group, found: Measurements, less_baseline: GroupDifference | None) -> Subgroup:
    spreads = {name: spread_of([seed[name] for seed in found.metrics], found.generators) for name in found.metrics[0]}
    return Subgroup(
        group.attribute, group.value, int(group.rows.sum()), group.patients, spreads.get(MAIN), spreads["accuracy"],
        spreads.get(FALSE_NEGATIVES), spreads.get(FALSE_POSITIVES), less_baseline,
    )  # fmt: skip


def compare_within(
    measured: Mapping[str, Sequence[Measurements]], groups: Sequence[Group]
) -> dict[tuple[str, int], GroupDifference]:
    """AUROC less the baseline's of each arm and group, corrected over the arms and groups of an attribute."""
    families: dict[str, dict[tuple[str, int], GroupDifference]] = {}
    for arm, own in measured.items():
        for number, group in enumerate(groups):
            if arm == BASELINE or BASELINE not in measured or MAIN not in own[number].metrics[0]:
                continue
            both = share_seeds(own[number], measured[BASELINE][number])
            if both[0].seeds:
                families.setdefault(group.attribute, {})[arm, number] = less(*both, MAIN, LEVEL)
    found: dict[tuple[str, int], GroupDifference] = {}
    for family in families.values():
        corrected = holm([one.p for one in family.values()])
        found |= {key: replace(one, p_holm=p) for (key, one), p in zip(family.items(), corrected, strict=True)}
    return found


def less(first: Measurements, second: Measurements, metric: str, level: float) -> GroupDifference:
    """The first less the second, of the same seeds, with an interval of 1 - level."""
    (values, components), (others, their_components) = first.of(metric), second.of(metric)
    unseen = first.unseen_variance(metric) + second.unseen_variance(metric)
    found = estimate(*over_generators(values - others, components - their_components, first, second), unseen)
    half = found.critical(level) * found.error
    return GroupDifference(found.mean, max(-1.0, found.mean - half), min(1.0, found.mean + half), found.p(), found.p())


def find_gaps(
    groups: Sequence[Group], measured: Sequence[Measurements], attributes: Sequence[str]
) -> list[SubgroupGap]:
    """Of each attribute and metric, between the worst and the best of its groups."""
    gaps = []
    for attribute in attributes:
        for metric in GAPS:
            own = [
                (group.value, one)
                for group, one in zip(groups, measured, strict=True)
                if group.attribute == attribute and metric in one.metrics[0]
            ]
            if len(own) > 1:
                gaps.append(find_gap(attribute, metric, own))
    return gaps


def find_gap(attribute: str, metric: str, groups: Sequence[tuple[str, Measurements]]) -> SubgroupGap:
    ordered = sorted(groups, key=lambda one: float(one[1].of(metric)[0].mean()))
    (worst, low), (best, high) = (ordered[0], ordered[-1]) if metric == MAIN else (ordered[-1], ordered[0])
    pairs = len(list(combinations(groups, 2)))
    sides = (high, low) if metric == MAIN else (low, high)
    found = less(*sides, metric, LEVEL / pairs)
    return SubgroupGap(attribute, metric, worst, best, found.mean, found.low, found.high, min(1.0, found.p * pairs))


def describe_gaps(arm: ArmResult) -> list[str]:
    """Gaps that chance does not explain, in words."""
    return [
        f"{arm.arm} does worse for {one.attribute} {one.worst} than for {one.best}: {CALLED[one.metric]} by "
        f"{one.mean:.3f} ({one.low:.3f} to {one.high:.3f}, whichever two groups differ most)."
        for one in arm.gaps
        if one.low > 0
    ]


CALLED = {MAIN: "AUROC lower", FALSE_NEGATIVES: "more missed,", FALSE_POSITIVES: "more called falsely,"}
