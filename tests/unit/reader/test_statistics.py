"""Simulated readers of a known d' get their AUC back, as often as an interval promises; guessing ones tell nothing."""

import numpy as np
import pytest

from cxr.reader.pictures import FALSE_ALARMS, mean_curve, operating_points
from cxr.reader.plan import BETWEEN, expect
from cxr.reader.score import describe_realism
from cxr.reader.statistics import Estimate, areas, difference_of_means, fleiss_kappa, mean_area
from tests.unit.reader.simulated import draw_scores, rate, true_area

STUDIES = 300


def simulate(d: float, readers: int, cases: int) -> list[Estimate]:
    rng = np.random.default_rng(20)
    return [mean_area(areas(*draw_scores(rng, d, readers, cases)), cases // 2) for _ in range(STUDIES)]


@pytest.mark.parametrize(("d", "readers", "cases"), [(0.0, 3, 80), (1.0, 3, 80), (1.0, 5, 60), (2.0, 3, 80)])
def test_the_interval_over_readers_and_cases_holds_the_truth_as_often_as_it_says(d, readers, cases) -> None:
    found = simulate(d, readers, cases)
    assert np.mean([one.value for one in found]) == pytest.approx(true_area(d), abs=0.01)
    assert 0.92 <= np.mean([one.low <= true_area(d) <= one.high for one in found]) <= 0.985


def test_guessing_readers_are_seldom_said_to_tell_and_others_mostly_are() -> None:
    """2.5 % above and below, and as much again as 300 studies may differ from it by chance."""
    guessing = simulate(0.0, 3, 80)
    assert np.mean([one.low > 0.5 for one in guessing]) <= 0.045
    assert np.mean([one.high < 0.5 for one in guessing]) <= 0.045
    assert np.mean([one.low > 0.5 for one in simulate(1.0, 3, 80)]) > 0.8


def test_one_readers_interval_is_of_other_cases() -> None:
    found = simulate(0.0, 1, 80)
    assert 0.92 <= np.mean([one.low <= 0.5 <= one.high for one in found]) <= 0.985


def test_areas_are_those_counted_by_hand_also_of_equal_scores() -> None:
    found = areas(np.array([[3, 1], [1, 1]]), np.array([[1, -3], [1, 1]]))
    assert found.values.tolist() == [0.875, 0.5]


def test_the_area_below_a_drawn_curve_is_its_readers_auc_and_below_the_mean_curve_their_mean() -> None:
    said = [rate(part, (-1.0, 0.0, 0.5, 1.0, 2.0)) for part in draw_scores(np.random.default_rng(5), 1.0, 3, 60)]
    curves = [operating_points(*scores) for scores in zip(*said, strict=True)]
    found = areas(*said).values
    assert [np.trapezoid(y, x) for x, y in curves] == pytest.approx(found.tolist())
    assert np.trapezoid(mean_curve(curves), FALSE_ALARMS) == pytest.approx(found.mean(), abs=0.005)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-1.0, -0.5, "less real than real ones by 0.75 (0.50 to 1.00)"),
        (0.5, 1.0, "more real"),
        (-1, 1, "not shown"),
    ],
)
def test_realism_is_said_with_its_sign_and_not_where_none_is_shown(low: float, high: float, said: str) -> None:
    assert said in describe_realism(Estimate((low + high) / 2, low, high))


@pytest.mark.parametrize(("score", "value"), [(1.0, 1.0), (0.0, 0.5)])
def test_where_no_case_differs_the_interval_is_not_a_point(score: float, value: float) -> None:
    found = mean_area(areas(np.full((3, 40), score), np.zeros((3, 40))), 40)
    assert found.value == value and found.low < value - 0.05 and found.high >= value


def test_a_difference_in_realism_is_found_where_it_is() -> None:
    rng = np.random.default_rng(3)
    alike, worse = rng.integers(-2, 3, (3, 75)), rng.integers(-2, 2, (3, 75))
    none, some = (difference_of_means(one, rng.integers(-2, 3, (3, 75))).mean() for one in (alike, worse))
    assert none.low < 0 < none.high and some.high < 0


def test_kappa_is_fleiss_own_and_none_where_nobody_differs() -> None:
    """Counted by hand: votes 3, 3, 0, 1 of three readers; P = (1 + 1 + 1 + 1/3) / 4, Pe = (49 + 25) / 144."""
    said = np.array([[1, 1, 0, 1], [1, 1, 0, 0], [1, 1, 0, 0]], bool)
    by_chance = 74 / 144
    assert fleiss_kappa(said).value == pytest.approx((10 / 12 - by_chance) / (1 - by_chance))
    assert fleiss_kappa(np.ones((3, 4), bool)) is None


def test_kappa_of_independent_readers_holds_zero_and_of_alike_ones_one() -> None:
    rng = np.random.default_rng(7)
    found = [fleiss_kappa(rng.random((3, 100)) < 0.5) for _ in range(200)]
    assert 0.91 <= np.mean([one.low <= 0 <= one.high for one in found]) <= 0.99
    assert fleiss_kappa(np.tile(rng.random(100) < 0.5, (3, 1))).value == 1


def test_six_answers_lose_little_of_what_readers_see() -> None:
    rng = np.random.default_rng(8)
    scores = draw_scores(rng, 1.0, 40, 400)
    rated = [rate(part, (-1.0, 0.0, 0.5, 1.0, 2.0)) for part in scores]
    assert areas(*rated).values.mean() == pytest.approx(areas(*scores).values.mean(), abs=0.02)


def test_the_plan_foresees_what_simulated_studies_give() -> None:
    """Readers whose true AUC differs by the plan's standard deviation: 0.2 of d' is 0.044 at AUC 0.76, so near it."""
    assert BETWEEN == 0.03
    for d, readers, cases in ((0.0, 3, 150), (1.0, 5, 150)):
        foreseen, found = expect(readers, cases, true_area(d)), simulate(d, readers, cases)
        width = np.mean([one.high - one.low for one in found])
        assert foreseen.high - foreseen.low == pytest.approx(width, rel=0.3)


def test_more_cases_and_more_readers_find_more() -> None:
    finds = [expect(readers, cases, 0.62).finds for readers, cases in ((1, 50), (3, 50), (3, 150), (5, 150))]
    assert expect(3, 150).finds == pytest.approx(0.025, abs=0.001)
    assert finds[1] < finds[2] < finds[3]
