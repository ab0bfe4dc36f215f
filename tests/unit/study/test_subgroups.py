"""Who is missed: equal to fairlearn's, found where it was planted, and not found where it is not."""

from types import SimpleNamespace

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_negative_rate, false_positive_rate
from scipy import stats
from sklearn.metrics import roc_auc_score

from cxr.classify.operating_point import OperatingPoint, Predictions
from cxr.study.config import BASELINE, StudyConfig
from cxr.study.job import left_out
from cxr.study.results import MAIN, TestSet
from cxr.study.statistics import LEVEL
from cxr.study.subgroups import FALSE_NEGATIVES, FALSE_POSITIVES, describe_gaps, measure_subgroups

ATTRIBUTES = ("view", "sex", "view+sex")
SEEDS = (1, 2, 3)
MANY = pytest.param(1000, marks=pytest.mark.slow)


def part(rng: np.random.Generator, patients: int = 300, names: tuple[str, ...] = ("AP", "PA")) -> TestSet:
    """Two pictures a patient, each of a view drawn at random."""
    count = 2 * patients
    sex = np.repeat(rng.choice(["F", "M"], patients), 2).tolist()
    groups = {"view": rng.choice(names, count).tolist(), "sex": sex, "age": [None] * count}
    owners = [f"p{row // 2:04d}" for row in range(count)]
    return TestSet([str(row) for row in range(count)], rng.integers(0, 2, count).tolist(), owners, groups)


def predict(
    test: TestSet, rng: np.random.Generator, worse: dict[str, float] | None = None, own: np.ndarray | float = 0.0
) -> list[Predictions]:
    """Of three seeds; pictures of some views are told apart less well, by so much.

    Args:
        own: what every arm sees in a picture.
    """
    labels, views = np.array(test.labels), test.groups["view"]
    clear = 1.5 - np.array([(worse or {}).get(view, 0.0) for view in views])
    owners = np.unique(test.patients, return_inverse=True)[1]
    common = 0.5 * rng.normal(size=owners.max() + 1)[owners] + rng.normal(size=len(labels))
    found = []
    for _ in SEEDS:
        light = clear * (labels - 0.5) + own + common + 0.3 * rng.normal(size=len(labels))
        shares = 1 / (1 + np.exp(-light))
        found.append(OperatingPoint(1.0, 0.45).read(np.stack([1 - shares, shares], axis=1)))
    return found


def measured(test: TestSet, arms: dict[str, list[Predictions]], attributes=ATTRIBUTES):
    return measure_subgroups({arm: (SEEDS, ran, None) for arm, ran in arms.items()}, test, 2, attributes)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_rates_and_gaps_of_one_trial_are_those_of_fairlearn(attribute: str) -> None:
    rng = np.random.default_rng(0)
    test = part(rng)
    [one, *_] = predict(test, rng, {"AP": 0.8})
    found = measure_subgroups({BASELINE: ((1,), [one], None)}, test, 2, (attribute,))[BASELINE]
    features = [", ".join(row) for row in zip(*(test.groups[name] for name in attribute.split("+")), strict=True)]
    frame = MetricFrame(
        metrics={FALSE_NEGATIVES: false_negative_rate, FALSE_POSITIVES: false_positive_rate},
        y_true=test.labels, y_pred=one.named, sensitive_features=features,
    )  # fmt: skip
    assert {group.value for group in found.subgroups} == {*features}
    for group in found.subgroups:
        assert group.false_negatives.mean == pytest.approx(frame.by_group[FALSE_NEGATIVES][group.value])
        assert group.false_positives.mean == pytest.approx(frame.by_group[FALSE_POSITIVES][group.value])
        rows = np.array(features) == group.value
        assert group.auroc.mean == pytest.approx(roc_auc_score(np.array(test.labels)[rows], one.scores[rows, 1]))
        assert group.auroc.low < group.auroc.mean < group.auroc.high
    gaps = {gap.metric: gap for gap in found.gaps}
    for metric in (FALSE_NEGATIVES, FALSE_POSITIVES):
        assert gaps[metric].mean == pytest.approx(frame.difference()[metric])
        assert gaps[metric].worst == frame.by_group[metric].idxmax()


def test_a_group_that_is_told_apart_less_well_is_the_worst_and_its_gap_is_found() -> None:
    rng = np.random.default_rng(1)
    test = part(rng)
    found = measured(test, {BASELINE: predict(test, rng, {"AP": 1.0})})[BASELINE]
    gap = next(one for one in found.gaps if (one.attribute, one.metric) == ("view", MAIN))
    assert (gap.worst, gap.best) == ("AP", "PA") and gap.low > 0.05 and gap.p < 0.001
    assert next(one for one in found.gaps if (one.attribute, one.metric) == ("sex", MAIN)).low < 0


@pytest.mark.parametrize("studies", [30, MANY])
def test_gaps_of_groups_that_do_not_differ_are_seldom_found(studies: int) -> None:
    """Of six views, of which the two that differ most are chosen; uncorrected, it would be in a third of studies."""
    rng, found = np.random.default_rng(2), 0
    for _ in range(studies):
        test = part(rng, 240, tuple("abcdef"))
        result = measured(test, {BASELINE: predict(test, rng)}, ("view",))[BASELINE]
        found += next(one for one in result.gaps if one.metric == MAIN).low > 0
    assert found <= stats.binom.ppf(0.995, studies, 0.05)


@pytest.mark.parametrize("studies", [6, MANY])
def test_arms_that_do_in_every_group_what_the_baseline_does_are_seldom_found_to_differ_in_one(studies: int) -> None:
    """Three arms in two views, in one of which all do worse: one family of six."""
    rng, found = np.random.default_rng(5), 0
    for _ in range(studies):
        test = part(rng, 150)
        own = 0.5 * rng.normal(size=len(test.labels))
        arms = {name: predict(test, rng, {"AP": 0.8}, own) for name in (BASELINE, "one", "two", "three")}
        results = measured(test, arms, ("view",))
        within = [one.less_baseline for name in ("one", "two", "three") for one in results[name].subgroups]
        found += min(one.p_holm for one in within) < LEVEL
    assert found <= stats.binom.ppf(0.995, studies, 0.05)


def test_an_arm_that_helps_in_one_view_is_found_there_and_not_in_the_other() -> None:
    rng = np.random.default_rng(3)
    test = part(rng)
    state = rng.bit_generator.state
    base = predict(test, rng, {"AP": 1.0})
    rng.bit_generator.state = state
    arms = {BASELINE: base, "synth_100": predict(test, rng)}  # the same noise: what AP lacks is there
    groups = {(one.attribute, one.value): one for one in measured(test, arms)["synth_100"].subgroups}
    assert groups["view", "AP"].less_baseline.low > 0.05 and groups["view", "AP"].less_baseline.p_holm < 0.01
    assert abs(groups["view", "PA"].less_baseline.mean) < 1e-9
    assert all(one.less_baseline is None for one in measured(test, arms)[BASELINE].subgroups)


def test_joined_groups_are_shown_where_they_are_large_enough() -> None:
    rng = np.random.default_rng(4)
    test = part(rng, 40)
    few = ["F" if row < 8 else "M" for row in range(80)]
    test.groups["sex"] = few
    found = measured(test, {BASELINE: predict(test, rng)})[BASELINE]
    shown = [(one.attribute, one.value) for one in found.subgroups]
    assert ("sex", "F") in shown and ("view+sex", "AP, M") in shown and ("view+sex", "AP, F") not in shown
    assert next(one for one in found.subgroups if one.value == "F").auroc is None


def test_a_gap_is_told_in_words_only_where_it_is_there() -> None:
    rng = np.random.default_rng(1)
    test = part(rng)
    gaps = {kind: measured(test, {BASELINE: predict(test, rng, worse)}, ("view",))[BASELINE].gaps
            for kind, worse in (("there", {"AP": 1.0}), ("not there", {}))}  # fmt: skip
    there, nothing = (describe_gaps(SimpleNamespace(arm="x", gaps=found)) for found in gaps.values())
    assert there[0].startswith("x does worse for view AP than for PA: AUROC lower by 0.") and nothing == []


def test_which_groups_is_named_in_the_recipe_where_it_is_not_as_usual() -> None:
    assert left_out(StudyConfig())["subgroups"] and "subgroups" not in left_out(StudyConfig(subgroups="sex"))
    with pytest.raises(ValueError, match="give view, sex, age, or some of them joined"):
        StudyConfig(subgroups="sex,race")
    with pytest.raises(ValueError, match="joined"):
        StudyConfig(subgroups="sex+sex")
