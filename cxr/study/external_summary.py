"""What trials do at other hospitals, and how far they fall there.

The same networks read the pictures of both, at the operating points that the internal validation chose. A drop is the
internal metric less the external one of each seed; the patients are others, so that their components stand side by
side, and the formula of `cxr.study.statistics` holds for the difference as for any.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cxr.study.config import BASELINE, StudyConfig
from cxr.study.differences import Measurements, compare_arms, over_generators, share_seeds, spread_of
from cxr.study.results import AVERAGE_PRECISION, MAIN, METRICS, External, ExternalArm, Gap, TestSet, Trial
from cxr.study.several import measured_findings
from cxr.study.statistics import estimate
from cxr.study.summary import measure_trial, measure_trials


def summarise_external(
    config: StudyConfig,
    name: str,
    trials: Sequence[Trial],
    test: TestSet,
    external: TestSet,
    classes: Sequence[str],
    left_out: int,
    rng: np.random.Generator,
) -> External:
    """All arms that have trials, in the order of the configuration.

    Args:
        test: the internal test part; external: the pictures of the other hospital.
        classes: names of the class numbers, or the findings.
        left_out: its pictures that the study has no label for.
    """
    counts = {one: int(external.showing(number).sum()) for number, one in enumerate(classes)}
    test, external = with_common_findings(test, external)
    by_arm = {arm.name: [trial for trial in trials if trial.arm == arm.name] for arm in config.arms}
    ended = {arm: ran for arm, ran in by_arm.items() if ran}
    there = {arm: [replace(trial, scores=trial.external[name]) for trial in ran] for arm, ran in ended.items()}
    outside = measure_trials(there, external, config.resamples, rng)
    inside = {arm: measure_inside(ran, test) for arm, ran in ended.items()}
    differences = compare_arms(config.arms, config.primary, outside, config.margin)
    arms = []
    for arm, found in outside.items():
        metrics = [metric for metric in (*METRICS, AVERAGE_PRECISION) if metric in found.metrics[0]]
        spreads = {metric: spread_of([seed[metric] for seed in found.metrics], found.generators) for metric in metrics}
        here = {
            metric: spread_of([seed[metric] for seed in inside[arm].metrics], found.generators) for metric in metrics
        }
        drops = {metric: read_drop(inside[arm], found, metric) for metric in metrics}
        extra = None if arm == BASELINE else read_extra_drop(inside, outside, arm)
        arms.append(ExternalArm(arm, spreads, here, drops, extra, differences[arm]))
    return External(name, len(external.patients), len(set(external.patients)), counts, left_out, arms)


def measure_inside(trials: Sequence[Trial], test: TestSet) -> Measurements:
    """Of an arm's trials, without drawing patients anew."""
    nothing, generators = np.empty((len(trials), 0)), tuple(trial.generator for trial in trials)
    found = [measure_trial(trial, test) for trial in trials]
    return Measurements([trial.seed for trial in trials], found, nothing, generators)


def with_common_findings(*tests: TestSet) -> list[TestSet]:
    """Test sets of several findings a picture with the labels of those alone that can be measured in all: means over
    others would differ for what they are of. Others are as they were."""
    if not tests[0].findings:
        return list(tests)
    labels = [np.array(one.labels, float) for one in tests]
    measured = [measured_findings(of, np.array(one.patients)) for of, one in zip(labels, tests, strict=True)]
    common = sorted(set.intersection(*map(set, measured)))
    for one in labels:
        one[:, [number for number in range(one.shape[1]) if number not in common]] = np.nan
    return [replace(one, labels=of.tolist()) for of, one in zip(labels, tests, strict=True)]


def read_drop(inside: Measurements, outside: Measurements, metric: str) -> Gap:
    """A metric within less the same outside, over the seeds of an arm."""
    return read_gap(*drop_of(inside, outside, metric), inside)


def read_extra_drop(inside: Mapping[str, Measurements], outside: Mapping[str, Measurements], arm: str) -> Gap | None:
    """By how much more an arm's AUROC drops than the baseline's, over the seeds that they share; None: none."""
    sides = [share_seeds(found[arm], found[BASELINE]) for found in (inside, outside)]
    if not sides[0][0].seeds:
        return None
    first, second = (drop_of(sides[0][number], sides[1][number], MAIN) for number in (0, 1))
    return read_gap(first[0] - second[0], first[1] - second[1], first[2] + second[2], sides[0][0])


def drop_of(inside: Measurements, outside: Measurements, metric: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Values [S], components [S, P + Q] of the patients of both, and the variance that these need not have shown."""
    (values, components), (others, their_components) = inside.of(metric), outside.of(metric)
    unseen = inside.unseen_variance(metric) + outside.unseen_variance(metric)
    return values - others, np.hstack([components, -their_components]), unseen


def read_gap(values: np.ndarray, components: np.ndarray, unseen: float, arm: Measurements) -> Gap:
    found = estimate(*over_generators(values, components, arm), unseen)
    low, high = found.interval()
    return Gap(found.mean, low, high, found.p())
