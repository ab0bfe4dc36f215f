from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cxr.study.statistics import Estimate, delong, estimate, holm, unseen_variance, welch

VALUES = np.array([0.02, 0.05, 0.03])


def test_without_an_effect_of_patients_it_is_the_paired_t_test():
    found, expected = estimate(VALUES, np.zeros((3, 50))), stats.ttest_1samp(VALUES, 0)
    assert found.p() == pytest.approx(expected.pvalue)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval()))
    assert found.sd == pytest.approx(VALUES.std(ddof=1))


def test_what_patients_do_to_all_seeds_alike_is_added_once():
    """Scatter 0.02^2 / 2 = 0.0002; the same components in both seeds add 0.0003, others in each seed nothing."""
    values, alike = np.array([0.1, 0.1 + 0.02 * np.sqrt(2)]), np.array([0.01, -0.01, 0.01])
    apart = np.array([[0.01, -0.01, 0.0], [0.01, 0.01, 0.0]])
    assert estimate(values, np.stack([alike, alike])).error ** 2 == pytest.approx(0.0002 + 0.0003)
    assert estimate(values, apart).error ** 2 == pytest.approx(0.0002)
    assert estimate(values, np.stack([alike, -alike])).error ** 2 == pytest.approx(0.0002)


def test_one_seed_has_the_error_of_its_patients_and_no_sd():
    components = np.random.default_rng(0).normal(0, 0.01, (1, 400))
    found = estimate(np.array([0.5]), components)
    assert found.sd is None
    assert found.error == pytest.approx(np.linalg.norm(components))
    assert found.interval()[1] - 0.5 == pytest.approx(1.96 * 0.2, rel=0.1)


def test_few_patients_who_carry_all_the_error_leave_few_degrees_of_freedom():
    rng = np.random.default_rng(0)
    ten = np.where(np.arange(500) < 10, rng.normal(0, 0.1, 500), 0.0)
    many = rng.normal(0, 0.01, 500)
    degrees = [estimate(np.array([0.5]), one[None]).degrees[1] for one in (ten, many)]
    assert degrees[0] < 20 and 300 < degrees[1] <= 499


def test_where_nothing_varies_nothing_is_beyond_doubt():
    """Nine patients who are all named right by one arm and wrong by the other: p is small, but not 0. That both arms
    name all nine right leaves room for a difference of 0.3 either way."""
    perfect, reversed_ = unseen_variance(1.0, 9), unseen_variance(0.0, 9)
    assert estimate(np.full(3, 0.25), np.zeros((3, 9))).p() == 1
    apart, alike = (
        estimate(np.full(3, shift), np.zeros((3, 9)), total)
        for shift, total in ((1.0, perfect + reversed_), (0.0, perfect + perfect))
    )
    assert 1e-6 < apart.p() < 0.001 and apart.interval()[0] < 0.75
    assert alike.p() == 1 and alike.interval()[1] == pytest.approx(-alike.interval()[0]) == pytest.approx(
        0.34, abs=0.02
    )
    assert delong(np.full(3, 0.25), np.zeros((3, 9))) is None


def test_what_patients_show_outweighs_what_they_need_not_have_shown():
    """Of 100 carriers one part in 10,001, of two a fifth; and less than they show is never taken."""
    many, two = np.tile([0.01, -0.01], 50), np.array([0.1, -0.1] + [0.0] * 98)
    for components, weight in ((many, 1 / 10_001), (two, 1 / 5)):
        own, found = (estimate(np.array([0.5]), components[None], extra) for extra in (0.0, 0.09))
        assert found.error**2 == pytest.approx((1 - weight) * own.error**2 + weight * 0.09)
        assert estimate(np.array([0.5]), components[None], own.error**2 / 2).error == own.error


def test_an_interval_of_a_share_stays_inside():
    low, high = Estimate(0.99, 0.01, 0.02, 1.0, (2, 50)).interval_within_unit()
    assert 0 < low < 0.97 and 0.99 < high < 1
    half = np.log(high / (1 - high)) - np.log(99)
    assert half == pytest.approx(stats.t.isf(0.025, 2) * 0.02 / (0.99 * 0.01))
    assert Estimate(1.0, 0.0, 0.0, 1.0, (2, 50)).interval_within_unit() is None


def test_a_perfect_figure_has_the_exact_interval_of_its_patients():
    """0.025 ** (1 / 12); of many carriers the logit's is left as it is."""
    low, high = Estimate(1.0, 0.0, 0.0, 1.0, (2, 50)).interval_within_unit(12)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 12)), 1.0)
    ordinary = Estimate(0.8, 0.0, 0.02, 0.0, (2, 300), known=300)
    found = ordinary.interval_within_unit(300), ordinary.interval_within_unit()
    assert found[0] == pytest.approx(found[1], abs=0.002)


def test_the_critical_value_is_between_those_of_seeds_and_patients():
    """Of 2 and many degrees of freedom, weighted 3 to 1: 0.75 x 4.303 + 0.25 x 1.960."""
    found = Estimate(0.0, 0.01, 0.01, 0.75, (2, 100_000))
    assert found.critical(0.05) == pytest.approx(3.717, abs=0.001)
    for level in (1e-9, 0.01, 0.5):
        assert Estimate(found.critical(level), 0.01, 1.0, 0.75, (2, 100_000)).p() == pytest.approx(level)


def test_welch_is_scipys():
    first, second = np.array([0.8, 0.83, 0.85]), np.array([0.81, 0.9, 0.97])
    assert welch(first, second) == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)
    assert welch(first[:1], second[:1]) is None
    assert welch(np.full(3, 0.5), np.full(3, 0.6)) is None


def test_holm_by_hand():
    """0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 no less than the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_delong_of_a_mean_over_seeds_is_a_z_test():
    """Mean 0.02, mean components (0.006, -0.008), so an error of 0.01 and z = 2."""
    components = np.array([[0.012, -0.01], [0.0, -0.006]])
    assert delong(np.array([0.01, 0.03]), components) == pytest.approx(2 * stats.norm.sf(2))


@pytest.mark.parametrize("level", [0.05, 0.005])
@pytest.mark.parametrize("degrees", [1, 2, 4, 30])
def test_the_detectable_difference_is_found_in_80_percent(degrees: int, level: float):
    rng, found = np.random.default_rng(degrees), Estimate(0.0, None, 0.01, 1.0, (degrees, 50))
    errors = 0.01 * np.sqrt(rng.chisquare(degrees, 100_000) / degrees)
    means = found.detectable(level) + rng.normal(0, 0.01, 100_000)
    assert (means / errors > stats.t.isf(level / 2, degrees)).mean() == pytest.approx(0.8, abs=0.005)


def test_with_many_patients_the_detectable_difference_is_2_8_errors():
    """1.960 + 0.842; at 0.5 % 2.807 + 0.842."""
    found = Estimate(0.0, None, 0.01, 0.0, (2, 10_000))
    assert found.detectable(0.05) == pytest.approx(0.02802, abs=1e-5)
    assert found.detectable(0.005) == pytest.approx(0.03649, abs=1e-5)


def test_where_nothing_varies_nothing_is_known_of_what_could_be_found():
    assert estimate(np.zeros(3), np.zeros((3, 9))).detectable(0.05) is None


def test_a_mean_is_within_a_margin_by_the_nearer_of_its_two_ends():
    """Two errors from one end and six from the other; on or past an end nothing is shown."""
    found = Estimate(0.02, None, 0.01, 0.0, (2, 10_000))
    assert found.p_within(0.04) == pytest.approx(stats.norm.sf(2), rel=0.01)
    assert replace(found, mean=-0.02).p_within(0.04) == pytest.approx(found.p_within(0.04))
    assert found.p_within(0.02) == found.p_within(0.01) == 1
    assert estimate(np.zeros(3), np.zeros((3, 9))).p_within(0.01) == 1
