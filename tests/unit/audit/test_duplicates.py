"""From scores to a verdict: innocent sets are failed no more often than the limit says, copies are found."""

import numpy as np
import pytest

from cxr.audit.duplicates import (
    Planted,
    controls_needed,
    judge_planted,
    judge_scores,
    set_levels,
    share_independent,
)
from cxr.detectors.matches import Matches

ALL = {"a": Planted(1.0, 1.0)}
DRAWS = {"normal": lambda rng, n: rng.normal(size=n), "exponential": lambda rng, n: rng.exponential(size=n),
         "counts": lambda rng, n: rng.poisson(6, n).astype(float),
         "seldom any": lambda rng, n: np.where(rng.random(n) < 0.02, 3.0 + rng.geometric(0.6, n), 0)}  # fmt: skip


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize(("controls", "pictures"), [(120, 100), (120, 1000), (700, 300)])
def test_innocent_sets_are_failed_within_the_limit(kind: str, controls: int, pictures: int):
    rng, failed = np.random.default_rng(0), []
    for _ in range(400):
        scores = DRAWS[kind](rng, pictures)
        levels = set_levels(DRAWS[kind](rng, controls), 0.01, pictures, 0.05)
        too_many = levels.chances(pictures)[(scores > levels.threshold).sum()] < 0.05 / 2
        failed.append(too_many or (scores > levels.clear).any())
    assert np.mean(failed) <= 0.05 + 0.02, np.mean(failed)  # 400 draws of 0.05 scatter by 0.011


@pytest.mark.parametrize("counted", [True, False])
def test_test_patients_whose_pictures_score_alike_fail_no_more_sets_than_the_limit_says(counted: bool):
    """Taken for one patient each, their pictures fail 1.5 and 1.3 % of sets by a limit of 1 %."""
    rng, sizes, pictures, failed = np.random.default_rng(0), np.tile([1, 1, 1, 4], 27), 190, []
    patients = np.repeat(np.arange(len(sizes)), sizes)

    def draw(shared: np.ndarray) -> np.ndarray:
        scores = 0.95 * shared + 0.3 * rng.normal(size=len(shared))
        return np.round(8 + 1.6 * scores + 0.35 * np.maximum(scores, 0) ** 2) if counted else scores

    for _ in range(1500):
        levels = set_levels(draw(rng.normal(size=len(sizes))[patients]), 0.01, pictures, 0.01,
                            independent=share_independent(patients))  # fmt: skip
        if not failed:
            chances = levels.chances(pictures)
        scores = draw(rng.normal(size=pictures))
        failed.append(chances[(scores > levels.threshold).sum()] < 0.01 / 2 or (scores > levels.clear).any())
    assert np.mean(failed) <= 0.01, np.mean(failed)


def test_pictures_of_one_patient_count_as_few():
    assert share_independent(np.array(list("abcd"))) == 1 and share_independent(np.array(list("aaaa"))) == 0.25
    assert share_independent(np.array(list("aab"))) == pytest.approx(3 / 5)
    scores = np.random.default_rng(5).exponential(size=200)
    alone, alike = (set_levels(scores, 0.01, 100, 0.01, independent=share) for share in (1, 0.5))
    assert alike.threshold == alone.threshold and alike.clear > alone.clear
    assert alike.chances(100)[1:].sum() == pytest.approx(alone.chances(100)[1:].sum())  # as many flagged in the mean
    assert alike.chances(100)[5] > alone.chances(100)[5]


def test_one_clear_copy_is_enough_and_many_faint_ones_are_too():
    rng = np.random.default_rng(1)
    controls, scores = rng.exponential(size=300), rng.exponential(size=200)
    levels = set_levels(controls, 0.01, 200, 0.01)
    assert not judge_scores(scores, levels, ALL, 0.01).found(0.01)
    one = judge_scores(np.append(scores, 60.0), levels, ALL, 0.01)
    assert one.clear.sum() == 1 and one.p > 0.005 and one.found(0.01)
    faint = judge_scores(np.append(scores, np.full(30, levels.threshold + 0.1)), levels, ALL, 0.01)
    assert not faint.clear.any() and faint.p < 0.005 and faint.found(0.01)


def test_one_in_a_hundred_test_pictures_is_above_the_threshold():
    scores = np.random.default_rng(2).permutation(np.arange(199.0))
    levels = set_levels(scores, 0.01, 50, 0.01)
    assert levels.rank == 2 and (scores > levels.threshold).sum() == 1 and levels.clear > levels.threshold
    assert controls_needed(0.01) == 99 and controls_needed(0.1) == 9


def test_the_share_of_copies_that_it_says_it_finds_is_found():
    rng = np.random.default_rng(3)
    levels = set_levels(rng.exponential(size=400), 0.01, 300, 0.01)
    recall = {"faint": Planted(0.9, 0.0)}
    copies = round(300 * judge_scores(rng.exponential(size=300), levels, recall, 0.01).detectable)
    assert 3 <= copies <= 60
    found = []
    for _ in range(100):
        planted = np.where(rng.random(copies) < 0.9, levels.threshold + 0.01, 0)
        scores = np.concatenate([rng.exponential(size=300 - copies), planted])
        found.append(judge_scores(scores, levels, recall, 0.01).found(0.01))
    assert np.mean(found) > 0.65
    assert np.isinf(judge_scores(np.zeros(300), levels, {"unseen": Planted(0.0, 0.0)}, 0.01).detectable)


def test_a_planted_copy_counts_with_its_own_original_only():
    levels = set_levels(np.arange(100.0), 0.01, 10, 0.01)
    found = Matches(np.array([levels.threshold + 1, levels.threshold + 1, 0.0, 1e6]), np.array([0, 5, 2, 3]))
    assert judge_planted(found, np.arange(4), levels) == Planted(0.5, 0.25)


def test_the_clear_level_of_correlations_is_one_that_a_copy_can_reach():
    scores = np.clip(np.random.default_rng(4).normal(0.6, 0.05, 300), -1, 1)
    levels = set_levels(scores, 0.01, 1000, 0.01, correlations=True)
    assert (scores > levels.threshold).sum() == 2 and scores.max() < levels.clear < 0.97
