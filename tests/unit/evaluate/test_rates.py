import numpy as np
import pytest
from scipy import stats

from cxr.evaluate.rates import rate


def test_a_rate_comes_with_its_exact_interval():
    """Clopper and Pearson: none of 100 is 0 to 3.62 %; 5 of 100 is 1.64 to 11.28 %."""
    none, five = rate(np.zeros(100, bool)), rate(np.arange(100) < 5)
    assert (none.low, none.high) == (0, pytest.approx(0.0362, abs=1e-4))
    assert (five.share, five.low, five.high) == (0.05, *(pytest.approx(x, abs=1e-4) for x in (0.0164, 0.1128)))


def test_a_picture_a_patient_is_as_before():
    hits = np.arange(100) < 5
    assert rate(hits, [f"p{number}" for number in range(100)]) == rate(hits)


def test_no_hit_says_no_more_than_patients_do():
    """None of 400 pictures of 100 patients is none of 100, less what Student's quantiles take."""
    owners = np.repeat(np.arange(100), 4)
    none, every = rate(np.zeros(400, bool), owners), rate(np.ones(400, bool), owners)
    assert none.high == pytest.approx(rate(np.zeros(100, bool)).high, abs=0.001)
    assert (every.low, every.high) == (pytest.approx(1 - none.high), 1.0)


def test_an_interval_of_patients_with_several_pictures_holds_the_truth():
    """Plain Clopper-Pearson takes a patient's pictures for as many patients; where they are not alike, neither is
    far too wide."""
    rng, held = np.random.default_rng(0), np.empty((400, 2))
    owners = np.repeat(np.arange(60), rng.integers(1, 7, 60))
    for row in range(len(held)):
        seen = np.sqrt(0.7) * rng.normal(size=60)[owners] + np.sqrt(0.3) * rng.normal(size=len(owners))
        hits = seen < stats.norm.ppf(0.1)
        held[row] = [one.low <= 0.1 <= one.high for one in (rate(hits, owners), rate(hits))]
    clustered, plain = held.mean(axis=0)
    assert clustered >= 0.93 and plain < 0.87
    apart = rng.random(len(owners)) < 0.3
    widths = [one.high - one.low for one in (rate(apart, owners), rate(apart))]
    assert widths[0] < 1.25 * widths[1]


@pytest.mark.slow
@pytest.mark.parametrize("alike", [0.0, 0.3, 0.7, 0.98])
@pytest.mark.parametrize("patients", [5, 10, 30, 100, 300])
def test_it_holds_the_truth_whatever_the_patients(patients: int, alike: float):
    """93 %, less two standard errors of 600 draws."""
    rng = np.random.default_rng(patients)
    for truth in (0.005, 0.02, 0.1, 0.5, 0.9):
        held = 0
        for _ in range(600):
            owners = np.repeat(np.arange(patients), rng.integers(1, 7, patients))
            shared, own = rng.normal(size=patients)[owners], rng.normal(size=len(owners))
            hits = np.sqrt(alike) * shared + np.sqrt(1 - alike) * own < stats.norm.ppf(truth)
            found = rate(hits, owners)
            held += found.low <= truth <= found.high
        assert held / 600 >= 0.909, truth
