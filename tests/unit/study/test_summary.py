from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from cxr.errors import BadInput
from cxr.study import results
from cxr.study.answer import answer, notes
from cxr.study.config import BASELINE, Arm, StudyConfig
from cxr.study.results import METRICS, ArmResult, Point, Trial
from cxr.study.summary import summarise, title

CLASSES = ("NORMAL", "PNEUMONIA")
SMALL = {"resamples": 100}


def part(patients: int = 150, classes: int = 2, seed: int = 0) -> results.Tested:
    """Two pictures a patient; every tenth patient's sex is not known, and three are in their nineties."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), 2)
    sexes = np.where(np.arange(patients) % 10 == 0, None, np.where(rng.random(patients) < 0.5, "F", "M"))[owners]
    ages = np.where(owners < 3, "90-99", "40-49")
    return results.Tested(
        image_ids=[f"picture{row}" for row in range(len(owners))],
        labels=(np.arange(patients) % classes)[owners].tolist(),
        patients=[f"patient{owner}" for owner in owners],
        groups={"sex": sexes.tolist(), "age": ages.tolist()},
    )


def trial(test: results.Tested, arm: str, seed: int, level: float, **changes) -> Trial:
    """Probabilities that are surer of the true class the higher the level; pictures are as hard for every arm."""
    labels, classes = np.array(test.labels), max(test.labels) + 1
    hardness = np.random.default_rng(7).normal(0, 1, (len(labels), classes))
    own = np.random.default_rng([seed, *arm.encode()]).normal(0, 0.2, hardness.shape)
    odds = np.exp(hardness + own + (level + 0.02 * (seed % 3)) * np.eye(classes)[labels])
    curve = [Point(10, 0.6, 0.7, 0.6, 0.8), Point(20, 0.5, 0.8, 0.7, 0.75)]
    fields = {"real": 100, "synthetic": 50, "steps": 20, "best": 1, "curve": curve, "device": "cpu", "seconds": 36.0}
    return Trial(arm, seed, scores=(odds / odds.sum(axis=1, keepdims=True)).tolist(), **{**fields, **changes})


def summarised(
    levels: dict[str, float], config: StudyConfig | None = None, test: results.Tested | None = None, **changes
) -> tuple[StudyConfig, list[ArmResult]]:
    """A study whose arms reach these levels."""
    test = test or part()
    config = config or StudyConfig(arms=tuple(arm for arm in StudyConfig().arms if arm.name in levels), **SMALL)
    trials = [trial(test, arm, seed, level, **changes) for arm, level in levels.items() for seed in config.seeds]
    names = CLASSES if max(test.labels) == 1 else [f"class{number}" for number in range(max(test.labels) + 1)]
    return config, summarise(config, trials, [], test, names, np.random.default_rng(0))


def by_name(arms: Sequence[ArmResult]) -> dict[str, ArmResult]:
    return {arm.arm: arm for arm in arms}


@pytest.mark.parametrize("classes", [2, 3])
def test_figures_are_means_over_seeds(classes: int):
    test = part(classes=classes)
    _, (arm,) = summarised({BASELINE: 1.0}, test=test)
    scores = [np.array(trial(test, BASELINE, seed, 1.0).scores) for seed in (42, 123, 456)]
    accuracies = [accuracy_score(test.labels, one.argmax(axis=1)) for one in scores]
    one_hot = np.eye(classes)[test.labels]
    aurocs = [roc_auc_score(one_hot[:, 1], s[:, 1]) if classes == 2 else roc_auc_score(one_hot, s) for s in scores]
    assert arm.figures["accuracy"].mean == pytest.approx(np.mean(accuracies))
    assert arm.figures["accuracy"].sd == pytest.approx(np.std(accuracies, ddof=1))
    assert arm.figures["auroc"].mean == pytest.approx(np.mean(aurocs))
    assert all(one.low < one.mean < one.high for one in arm.figures.values())
    assert np.sum(arm.confusion, axis=1).tolist() == [3 * one.pictures for one in arm.classes]
    assert np.trace(arm.confusion) == pytest.approx(np.sum(accuracies) * 300)
    rates, heights = np.transpose(arm.roc)
    assert rates.tolist() == pytest.approx(np.linspace(0, 1, 101).tolist())
    assert np.trapezoid(heights, rates) == pytest.approx(np.mean(aurocs), abs=0.01)
    assert (arm.hours, arm.device, arm.seeds) == (pytest.approx(0.03), "cpu", [42, 123, 456])


def test_arms_are_compared_with_the_baseline_and_with_their_control():
    levels = {BASELINE: 1.0, "synth_100": 1.8, "limited_10": 0.6, "limited_10_real": 0.1, "duplicate_real_100": 1.0}
    _, arms = summarised(levels)
    found = by_name(arms)
    pairs = {name: list(dict.fromkeys(d.against for d in arm.differences)) for name, arm in found.items()}
    assert pairs[BASELINE] == [] and pairs["limited_10_real"] == [BASELINE]
    assert pairs["synth_100"] == [BASELINE, "duplicate_real_100"]
    first = found["synth_100"].differences[0]
    means = [found[name].figures["auroc"].mean for name in ("synth_100", BASELINE)]
    assert first.metric == "auroc" and first.mean == pytest.approx(means[0] - means[1])
    assert 0 < first.low < first.mean < first.high and 0 < first.bootstrap_low < first.mean < first.bootstrap_high
    assert first.p <= first.p_holm < 0.05 and first.delong_p < 0.001 and first.welch_p < 0.01
    others = {d.metric: d for d in found["synth_100"].differences if d.against == BASELINE}
    assert tuple(others) == METRICS
    assert others["accuracy"].delong_p is None and others["accuracy"].bootstrap_low is None


def test_each_family_is_corrected_by_itself():
    """Four arms against the baseline, one against a control: the least p counts four times, and once."""
    levels = {BASELINE: 1.0, "synth_25": 1.05, "synth_100": 1.3, "duplicate_real_100": 1.0, "synth_only": 0.9}
    _, arms = summarised(levels)
    found = [d for arm in arms for d in arm.differences if d.metric == "auroc"]
    against_baseline = [d for d in found if d.against == BASELINE]
    least = min(against_baseline, key=lambda d: d.p)
    assert len(against_baseline) == 4 and least.p_holm == pytest.approx(min(1, 4 * least.p))
    (other,) = (d for d in found if d.against != BASELINE)
    assert other.p_holm == other.p


def test_what_is_detectable_is_so_after_the_correction():
    """Alone the arm's p must be below 5 %, among ten below 0.5 %."""
    alone, among = (
        by_name(summarised(dict.fromkeys(names, 1.0))[1])["synth_25"].differences[0]
        for names in ((BASELINE, "synth_25"), [arm.name for arm in StudyConfig().arms])
    )
    assert (among.mean, among.p) == (alone.mean, alone.p)
    assert among.detectable > 1.3 * alone.detectable


def test_a_lost_seed_leaves_pairs_of_the_others_and_a_lost_arm_no_figures():
    test, config = part(), StudyConfig(arms=StudyConfig().arms[:3], **SMALL)
    kept = [
        (BASELINE, 42, 1.0),
        (BASELINE, 123, 1.0),
        (BASELINE, 456, 1.0),
        ("synth_25", 42, 1.5),
        ("synth_25", 456, 1.5),
    ]
    lost = [("synth_25", 123), *(("synth_50", seed) for seed in config.seeds)]
    trials = [trial(test, *one) for one in kept]
    baseline, one, gone = summarise(config, trials, lost, test, CLASSES, np.random.default_rng(0))
    both = [d.figures["auroc"].mean for d in (one, baseline)]
    assert (one.seeds, one.failed) == ([42, 456], [123])
    assert one.differences[0].mean != pytest.approx(both[0] - both[1], abs=1e-6)
    assert (gone.failed, gone.figures, gone.differences, gone.classes) == ([42, 123, 456], {}, [], [])
    with pytest.raises(BadInput, match="arm baseline: every trial failed"):
        summarise(config, trials[3:], lost, test, CLASSES, np.random.default_rng(0))


def test_one_seed_has_intervals_of_its_patients():
    config = StudyConfig(arms=StudyConfig().arms[:2], seeds=(42,), **SMALL)
    _, (_, arm) = summarised({BASELINE: 1.0, "synth_25": 1.6}, config)
    assert arm.figures["auroc"].sd is None and arm.figures["auroc"].low < arm.figures["auroc"].high
    assert arm.differences[0].welch_p is None and arm.differences[0].p == pytest.approx(
        arm.differences[0].delong_p, abs=0.01
    )
    assert any(line.startswith("One seed") for line in notes(config, [], part(), CLASSES))


def test_subgroups_of_few_patients_have_no_auroc():
    _, (arm,) = summarised({BASELINE: 1.0})
    found = {(group.attribute, group.value): group for group in arm.subgroups}
    assert list(found) == [("sex", "F"), ("sex", "M"), ("age", "40-49"), ("age", "90-99")]
    assert sum(found["sex", value].patients for value in "FM") == 135  # of 15 patients it is not known
    assert found["age", "90-99"].auroc is None and found["age", "90-99"].pictures == 6
    assert found["sex", "F"].auroc.low < found["sex", "F"].auroc.mean


def test_optimism_is_what_the_best_epoch_on_the_test_set_gains():
    _, (arm,) = summarised({BASELINE: 1.0})
    assert arm.optimism.mean == pytest.approx(0.8 - 0.75)
    _, (arm,) = summarised({BASELINE: 1.0}, curve=[Point(10, 0.6, 0.7, 0.6)], best=0)
    assert arm.optimism is None


def test_a_test_part_that_shows_a_class_once_is_refused():
    test = part()
    labels = [0] * 298 + [1, 1]
    with pytest.raises(BadInput, match="1 patients with PNEUMONIA"):
        summarised({BASELINE: 1.0}, test=results.Tested(test.image_ids, labels, test.patients, {}))


def test_arms_have_titles_in_words():
    assert title(Arm(name="a", synthetic=25)) == "100 % real + 25 % synthetic"
    assert title(Arm(name="a", real=0, synthetic=100)) == "100 % synthetic"
    assert title(Arm(name="a", repeat=2)) == "100 % real, 2 times"
    assert title(Arm(name="a", synthetic=50, order="synthetic_first")) == "50 % synthetic, then 100 % real"


def test_the_answer_names_the_best_arm_that_beats_the_baseline_and_its_control():
    levels = {BASELINE: 1.0, "synth_25": 1.2, "synth_100": 1.8, "duplicate_real_100": 1.0}
    said = answer(*summarised(levels))
    assert said.startswith("Synthetic pictures helped: synth_100 (100 % real + 100 % synthetic) raised AUROC by 0.")
    assert said.endswith("over baseline, and beat its control duplicate_real_100 too.")
    said = answer(*summarised(levels | {"duplicate_real_100": 1.8}))
    assert "but was not shown to beat its control duplicate_real_100" in said


def test_the_answer_says_that_synthetic_pictures_hurt():
    said = answer(*summarised({BASELINE: 1.8, "synth_25": 1.8, "synth_100": 1.0, "duplicate_real_100": 1.8}))
    assert said.startswith("Synthetic pictures hurt: synth_100 (100 % real + 100 % synthetic) lowered AUROC by 0.")


def test_the_answer_says_what_could_have_been_found():
    config, arms = summarised({BASELINE: 1.0, "synth_25": 1.0, "synth_50": 1.0})
    most = max(arm.differences[0].detectable for arm in arms[1:])
    said = answer(config, arms)
    assert said.startswith("No detectable difference: beside all real data")
    assert said.endswith(f"this study could have found a difference of {most:.3f} or more.")


def test_where_every_arm_is_perfect_the_answer_is_that_nothing_varied():
    config, arms = summarised({BASELINE: 60.0, "synth_25": 60.0})
    assert arms[0].figures["auroc"].mean == 1 and arms[1].differences[0].detectable is None
    assert answer(config, arms).endswith("+0.000; nothing varied, so this study cannot say what it could have found.")


def test_the_answer_has_a_sentence_for_few_real_data():
    levels = {BASELINE: 1.5, "limited_10": 1.4, "limited_10_real": 0.5, "limited_25": 1.0, "limited_25_real": 1.0}
    said = answer(*summarised(levels))
    assert said.startswith(
        "Where real data are few, against the same real data alone: with 10 % synthetic pictures raised"
    )
    assert "; with 25 % no detectable difference: they changed AUROC by" in said


def test_the_answer_of_one_arm_is_its_own_figures():
    config, [alone] = summarised({BASELINE: 1.0})
    said = answer(config, [alone])
    accuracy = alone.figures["accuracy"]
    assert said.startswith("No arm of this study")
    assert f"accuracy {accuracy.mean:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f}), AUROC" in said


def test_notes_name_failures_and_few_patients():
    lines = notes(StudyConfig(), [("synth_25", 42), ("synth_25", 123)], part(40), CLASSES)
    assert "synth_25: failed with seed 42, 123." in lines
    assert "20 test patients show NORMAL: intervals are rough below 30." in lines
