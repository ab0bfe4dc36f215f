"""Statistics of membership inference on made-up scores: what is planted is found, what is not there is not."""

import numpy as np
import pytest
from scipy.stats import norm

from cxr.audit.config import AuditConfig
from cxr.audit.judge_model import decide_membership, judge_membership
from cxr.audit.membership import (
    MembershipTest,
    compare_members,
    detectable_auc,
    pair_patients,
    rates,
    split_halves,
)

LIMITS = AuditConfig()


def draw_scores(
    rng: np.random.Generator, auc: float = 0.5, pairs: int = 60, sure: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of patients with one to three pictures each, half of whose scatter is the patient's; training patients'
    are higher, so that the AUC is this, and of a share of them far above all others.

    Returns:
        Scores [N], the patient of each [N], and who was trained on [P].
    """
    member = np.arange(2 * pairs) < pairs
    owners = np.repeat(np.arange(2 * pairs), rng.integers(1, 4, 2 * pairs))
    of_patient = rng.normal(size=2 * pairs) + np.where(member, 2 * norm.ppf(auc), 0)
    of_patient[member & (rng.random(2 * pairs) < sure)] += 20
    return of_patient[owners] + rng.normal(size=len(owners)), owners, member


def run(seed: int, resamples: int = 200, **options) -> MembershipTest:
    rng = np.random.default_rng(seed)
    return compare_members(*draw_scores(rng, **options), resamples, rng)


def decide(seed: int, **options) -> str:
    """The verdict on such scores, with a placebo and a base that see nothing."""
    pairs = options.get("pairs", 60)
    nothing = run(seed + 1000, pairs=pairs)
    return decide_membership(run(seed, **options), nothing, nothing, pairs, LIMITS)[0]


def test_a_planted_leak_is_found():
    assert [decide(seed, auc=0.85) for seed in range(5)] == ["leak found"] * 5
    found = run(0, auc=0.85)
    assert found.auc.low < found.auc.value < found.auc.high and abs(found.auc.value - 0.85) < 0.06


def test_a_few_patients_of_whom_the_model_is_sure_are_a_leak_though_the_average_is_none():
    found = run(0, pairs=200, sure=0.15)
    assert found.auc.low < 0.6 and found.tpr is not None and 0.05 < found.tpr.low < 0.15 < found.tpr.high < 0.3
    assert decide(0, pairs=200, sure=0.15) == "leak found"


def test_chance_is_told_apart_no_more_often_than_intervals_say():
    """150 null sets: 5 % of 95 % intervals miss the truth; 16 misses or more come in 1 of 300 such lots."""
    found = [run(seed) for seed in range(150)]
    missed = [not test.auc.low <= 0.5 <= test.auc.high for test in found]
    assert 1 <= np.sum(missed) <= 15 and abs(np.mean([test.auc.value for test in found]) - 0.5) < 0.02
    verdicts = {decide_membership(test, found[0], found[0], 60, LIMITS)[0] for test in found}
    assert verdicts == {"not decided at this power"}


def test_at_the_limit_itself_a_leak_is_called_within_the_interval_s_rate():
    """Of 150 sets whose AUC is the limit 2.5 % lie above by chance; 10 or more in 1 of 200 such lots."""
    assert np.sum([run(seed, auc=LIMITS.max_auc, pairs=30).auc.low > LIMITS.max_auc for seed in range(150)]) < 10


def test_no_leak_is_said_only_of_enough_patients_and_a_low_upper_bound():
    assert decide(0, pairs=250) == "no leak found at this power"
    assert decide(0, pairs=150) == "not decided at this power"
    assert decide(2, pairs=250, auc=0.58) == "not decided at this power"


def test_a_leak_of_the_detectable_size_is_found_as_often_as_it_says():
    auc = detectable_auc(60, LIMITS.max_auc)
    rng, found = np.random.default_rng(0), []
    for _ in range(100):  # a picture a patient, as it takes them
        scores = rng.normal(size=120) + np.repeat([np.sqrt(2) * norm.ppf(auc), 0], 60)
        test = compare_members(scores, np.arange(120), np.arange(120) < 60, 200, rng)
        found.append(test.auc.low > LIMITS.max_auc)
    assert 0.65 <= np.mean(found) <= 0.95 and detectable_auc(400, 0.6) < auc < 0.8


@pytest.mark.parametrize("side", ["placebo", "base"])
def test_where_patients_whom_nobody_saw_are_told_apart_nothing_was_tested(side: str):
    leak, nothing, backwards = run(0, auc=0.9), run(1), run(2, auc=0.1)
    for failing in (leak, backwards):
        tests = {"placebo": nothing, "base": nothing, side: failing}
        verdict, reason = decide_membership(leak, tests["placebo"], tests["base"], 60, LIMITS)
        assert verdict == "not tested" and "the placebo fails" in reason


def test_the_result_says_limit_power_and_both_checks():
    found = judge_membership("error", run(0, auc=0.9), run(1), run(2), 60, LIMITS)
    assert found.decision == "leak found" and "above what 1 % of others reach" in found.result
    assert found.result.count("AUC") == 3 and "60 patients a side" in found.power and "0.6" in found.limit
    assert found.metrics["auc"] > 0.8 > found.metrics["placebo_auc"] and found.metrics["patients_a_side"] == 60
    few = judge_membership("error", run(0, pairs=25), run(1), run(2), 25, LIMITS)
    assert few.metrics["tpr"] is None and "others reach" not in few.result
    assert few.decision.startswith("not decided at this power, because 25 patients a side are too few")


def test_rates_are_those_of_a_library_ties_and_weights_too():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    members, controls = rng.integers(2, 9, 40).astype(float), rng.integers(0, 7, 30).astype(float)
    weights = rng.integers(0, 4, (3, 40)).astype(float), rng.integers(0, 4, (3, 30)).astype(float)
    auc, _ = rates(members, controls, weights)
    for row in range(3):
        expected = roc_auc_score(np.repeat([1, 0], [40, 30]), np.concatenate([members, controls]),
                                 sample_weight=np.concatenate([weights[0][row], weights[1][row]]))  # fmt: skip
        assert auc[row] == pytest.approx(expected)


def test_the_share_that_is_told_is_above_all_but_one_in_a_hundred_controls():
    controls, members = np.arange(199.0), np.array([197.5, 198.5, 5, 300])
    _, told = rates(members, controls, (np.ones((1, 4)), np.ones((1, 199))))
    assert told.tolist() == [0.75]  # the second highest control, 197, is the threshold


def test_more_pictures_of_the_same_patients_are_no_more_evidence():
    rng = np.random.default_rng(0)
    scores, owners, member = draw_scores(rng, auc=0.6, pairs=30)
    often = compare_members(np.repeat(scores, 20), np.repeat(owners, 20), member, 400, rng)
    once = compare_members(scores, owners, member, 400, rng)
    assert once.auc.value == pytest.approx(often.auc.value)
    assert (often.auc.high - often.auc.low) > 0.8 * (once.auc.high - once.auc.low)


def test_pairs_are_of_one_stratum_and_halves_divide_each():
    rng = np.random.default_rng(0)
    strata = np.array(["a"] * 12 + ["b"] * 9 + ["c"] * 4)
    member = np.array([True] * 8 + [False] * 4 + [True] * 3 + [False] * 6 + [True] * 4)
    pairs = pair_patients(member, strata, 100, rng)
    assert len(pairs) == 4 + 3 and len(np.unique(pairs)) == pairs.size
    assert member[pairs[:, 0]].all() and not member[pairs[:, 1]].any()
    assert (strata[pairs[:, 0]] == strata[pairs[:, 1]]).all()
    assert len(pair_patients(member, strata, 5, rng)) == 5 and len(pair_patients(member[:8], strata[:8], 5, rng)) == 0
    half = split_halves(strata, rng)
    assert [half[strata == one].sum() for one in "ab"] in ([6, 4], [6, 5]) and 12 <= half.sum() <= 13
