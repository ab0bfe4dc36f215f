"""The test of nearest patients finds planted patients, no others, and says how many it could find."""

import numpy as np
import pytest

from cxr.audit.exchangeability import (
    NearestTest,
    Neighbours,
    Sides,
    compare_nearest,
    flag_nearest,
    match_sides,
    mean_shares,
    nearest_patients,
)


def draw_set(
    rng: np.random.Generator, memorised: float = 0.0, members: int = 40, controls: int = 24, pictures: int = 60
) -> tuple[Neighbours, Sides]:
    """Vectors of patients with two pictures each, in two strata; a share of the synthetic ones repeats a member."""
    member = np.arange(members + controls) < members
    rows, sides = match_sides(member, np.where(rng.random(len(member)) < 0.6, "a", "b"), rng)
    owners = np.repeat(np.arange(len(rows)), 2)
    real = rng.normal(size=(len(owners), 24)).astype(np.float32)
    synthetic = 0.7 * rng.normal(size=(pictures, 24)).astype(np.float32)
    copies = rng.random(pictures) < memorised
    originals = rng.choice(np.flatnonzero(sides.member[owners]), pictures)
    synthetic = np.where(copies[:, None], 0.9 * real[originals] + 0.1 * synthetic, synthetic)
    return nearest_patients(synthetic, real, owners), sides


def run(seed: int, permutations: int = 200, **options) -> NearestTest:
    rng = np.random.default_rng(seed)
    return compare_nearest(*draw_set(rng, **options), permutations, 0.01, rng)


def test_memorised_patients_are_found():
    found = run(0, memorised=0.6, permutations=1000)
    assert found.p < 0.01 and found.share > found.expected + 0.1


def test_chance_is_called_a_leak_no_more_often_than_it_says():
    """100 null sets; of p uniform, 13 or more of them are below 0.05 in 1 of 1,000."""
    p = np.array([run(seed, pictures=30).p for seed in range(100)])
    assert (p < 0.05).sum() <= 12 and 0.35 < (p < 0.5).mean() < 0.65


@pytest.mark.slow
def test_the_limit_holds_over_many_null_sets():
    p = np.array([run(seed, permutations=500).p for seed in range(600)])
    assert (p < 0.01).mean() <= 0.02 and 0.03 <= (p < 0.05).mean() <= 0.07


def test_the_share_that_it_says_it_finds_is_found():
    detectable = np.mean([run(seed).detectable for seed in range(10)])
    assert 0.1 < detectable < 0.7
    power = np.mean([run(seed, memorised=detectable).p < 0.01 for seed in range(40)])
    assert 0.6 <= power <= 1
    assert np.mean([run(seed, memorised=detectable / 4).p < 0.01 for seed in range(20)]) < 0.6


def test_the_expected_share_is_a_half_however_many_patients_a_side_has():
    for members, controls in ((40, 20), (20, 40)):
        assert abs(run(1, members=members, controls=controls).expected - 0.5) < 0.03


def test_one_patient_who_is_near_to_everything_is_no_evidence():
    sides = Sides(np.arange(40) < 20, np.zeros(40, int))
    order = np.tile(np.arange(40), (50, 1))  # all pictures are nearest to the first patient
    found = compare_nearest(
        Neighbours(order, np.zeros(order.shape, np.float32)), sides, 400, 0.01, np.random.default_rng(0)
    )
    assert found.share == 1 and found.p > 0.3


def test_who_has_nobody_alike_is_not_compared_and_the_larger_side_is_cut():
    strata = np.array(["a"] * 3 + ["b"] * 30 + ["c"] * 2)
    member = np.array([True] * 3 + [True] * 28 + [False] * 2 + [False] * 2)
    rows, sides = match_sides(member, strata, np.random.default_rng(0))
    assert set(strata[rows]) == {"b"} and sides.member.sum() == 8 and (~sides.member).sum() == 2
    assert sides.matched == 2
    nobody, _ = match_sides(member[:3], strata[:3], np.random.default_rng(0))
    assert len(nobody) == 0


def test_the_mean_over_draws_is_what_draws_give():
    """Three controls for one member: a draw keeps each with one third."""
    sides = Sides(np.array([True, False, False, False]), np.zeros(4, int))
    order = np.array([[1, 0, 2, 3]])  # a control is nearest, then the member
    assert np.isclose(mean_shares(order, sides.member[None], sides)[0], 2 / 3)


def test_pictures_are_flagged_against_this_generators_own_likeness_to_test_patients():
    rng = np.random.default_rng(3)
    found, sides = draw_set(rng, memorised=0.3, members=30, controls=30, pictures=100)
    flagged = flag_nearest(found, sides, 0.01, 10, rng)
    assert 20 <= flagged.pictures.sum() <= 40 and abs(flagged.share - 0.3) < 0.1
    found, sides = draw_set(rng, members=30, controls=30, pictures=100)
    assert flag_nearest(found, sides, 0.01, 10, rng).share < 0.06


def test_the_nearest_patient_is_the_one_with_the_nearest_picture():
    real = np.array([[0.0, 0], [9, 9], [1, 0], [5, 5]], np.float32)
    found = nearest_patients(np.array([[4.0, 4]], np.float32), real, np.array([0, 1, 0, 1]))
    assert found.patients.tolist() == [[1, 0]] and np.allclose(found.likeness, [[-2, -25]])
