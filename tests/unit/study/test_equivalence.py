"""How often arms are called equivalent that differ by the margin, and that do not differ, over simulated studies."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import optimize, stats

from cxr.study import differences
from cxr.study.answer import is_significant, is_within
from cxr.study.config import BASELINE, Arm
from cxr.study.differences import Measurements, compare_arms
from cxr.study.influence import MetricWithInfluence
from tests.unit.study.test_null_studies import Design, measured

PRIMARY = "arm_0"
SAME = Design(seeds=5, arm_sd=0.0, seed_sd=0.05)  # arms that do the same to a network, seeds that scatter little


@dataclass(frozen=True)
class Claims:
    """Shares of studies."""

    within: float  # that call the primary arm equivalent
    others_within: float  # and any other arm, of one family
    differs: float  # that find the primary arm better or worse


@pytest.fixture(autouse=True)
def auroc_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated arms have no other figures."""
    monkeypatch.setattr(differences, "METRICS", ("auroc",))
    monkeypatch.setattr(differences, "interval_of_draws", lambda draws: (0.0, 0.0))


def claims(design: Design, margin: float, studies: int, true: float = 0.0) -> Claims:
    """Of studies in which every arm truly differs from the baseline by `true`, in AUROC."""
    design = replace(design, gain=gain_for(design, -true))  # of the last arm, which stands for the baseline
    names = [*(f"arm_{number}" for number in range(design.arms - 1)), BASELINE]
    arms, rng, found = [Arm(name=name) for name in names], np.random.default_rng(0), []
    for _ in range(studies):
        measurements = {name: measurements_of(*one) for name, one in zip(names, draw(design, rng), strict=True)}
        by_arm = compare_arms(arms, PRIMARY, measurements, margin)
        primary, *others = (by_arm[name][0] for name in names[:-1])
        found.append((is_within(primary), any(is_within(one) for one in others), is_significant(primary)))
    return Claims(*np.mean(found, axis=0).tolist())


def gain_for(design: Design, true: float) -> float:
    """Of the level, that raises AUROC by so much."""

    def off(gain: float) -> float:
        first, second = replace(design, gain=gain).truth
        return second - first - true

    return float(optimize.brentq(off, -3, 3))


def draw(design: Design, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each arm AUROCs [S], components [S, P] and the patients [S] that each counts as."""
    return [*zip(*measured(design, rng), strict=True)]


def measurements_of(values: np.ndarray, components: np.ndarray, patients: np.ndarray) -> Measurements:
    of_seeds = zip(values.tolist(), components, patients.tolist(), strict=True)
    metrics = [{"auroc": MetricWithInfluence(*one)} for one in of_seeds]
    return Measurements(list(range(len(values))), metrics, np.zeros((len(values), 2)))


def chance(studies: int) -> float:
    """5 % and the upper end of 99 % of what so many studies show of it."""
    return float(stats.binom.ppf(0.995, studies, 0.05)) / studies


MANY = pytest.param(1000, marks=pytest.mark.slow)
DIFFER = replace(SAME, arm_sd=0.3, seed_sd=0.2)
DESIGNS = [  # and margin
    (replace(SAME, seeds=3), 0.05),
    (SAME, 0.05),
    (replace(SAME, patients=1000), 0.02),
    (replace(SAME, patients=1000), 0.01),
    (DIFFER, 0.05),
    (replace(DIFFER, seed_sd=0.6), 0.05),
]


@pytest.mark.parametrize("studies", [30, MANY])
@pytest.mark.parametrize("side", [-1, 1])
def test_arms_that_differ_by_the_margin_are_called_equivalent_in_5_percent_at_most(studies: int, side: int):
    assert claims(SAME, 0.05, studies, side * 0.05).within <= chance(studies)


@pytest.mark.slow
@pytest.mark.parametrize(("design", "margin"), DESIGNS)
def test_so_it_is_in_any_design(design: Design, margin: float):
    at_margin, equal = claims(design, margin, 1000, margin), claims(design, margin, 1000)
    assert at_margin.within <= chance(1000) and equal.differs <= chance(1000)


@pytest.mark.parametrize("studies", [6, MANY])
def test_any_of_nine_other_arms_is_wrongly_called_equivalent_in_5_percent_at_most(studies: int):
    found = claims(replace(SAME, arms=11), 0.05, studies, 0.05)
    assert found.others_within <= chance(studies)


@pytest.mark.parametrize("studies", [30, MANY])
def test_equal_arms_are_called_equivalent_where_the_margin_is_one_that_the_study_can_see(studies: int):
    assert claims(SAME, 0.08, studies).within > 0.8
    assert claims(DIFFER, 0.005, studies).within <= chance(studies)


@pytest.mark.parametrize("studies", [30, MANY])
def test_arms_that_differ_by_twice_the_margin_are_never_called_equivalent(studies: int):
    found = claims(SAME, 0.05, studies, -0.1)
    assert found.within <= 0.01 and found.differs > 0.8
