import re
from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from cxr.errors import BadInput
from cxr.study import results
from cxr.study.answer import Answer, answer, decide, detectable_in_deviations, notes
from cxr.study.config import BASELINE, Arm, StudyConfig, standard_arms
from cxr.study.results import METRICS, ArmResult, Trial, ValidationPoint
from cxr.study.statistics import holm
from cxr.study.summary import arm_label, summarise

CLASSES = ("NORMAL", "PNEUMONIA")
SMALL = {"resamples": 100, "seeds": (42, 123, 456)}


def part(patients: int = 150, classes: int = 2, seed: int = 0) -> results.TestSet:
    """Two pictures a patient; every tenth patient's sex is not known, and three are in their nineties."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), 2)
    sexes = np.where(np.arange(patients) % 10 == 0, None, np.where(rng.random(patients) < 0.5, "F", "M"))[owners]
    ages = np.where(owners < 3, "90-99", "40-49")
    return results.TestSet(
        image_ids=[f"picture{row}" for row in range(len(owners))],
        labels=(np.arange(patients) % classes)[owners].tolist(),
        patients=[f"patient{owner}" for owner in owners],
        groups={"sex": sexes.tolist(), "age": ages.tolist()},
    )


def trial(test: results.TestSet, arm: str, seed: int, level: float, **changes) -> Trial:
    """Probabilities that are surer of the true class the higher the level; pictures are as hard for every arm."""
    labels, classes = np.array(test.labels), max(test.labels) + 1
    hardness = np.random.default_rng(7).normal(0, 1, (len(labels), classes))
    own = np.random.default_rng([seed, *arm.encode()]).normal(0, 0.2, hardness.shape)
    odds = np.exp(hardness + own + (level + 0.02 * (seed % 3)) * np.eye(classes)[labels])
    curve = [ValidationPoint(10, 0.6, 0.7, 0.6, 0.8), ValidationPoint(20, 0.5, 0.8, 0.7, 0.75)]
    fields = {"real": 100, "synthetic": 50, "steps": 20, "best": 1, "curve": curve, "device": "cpu", "seconds": 36.0}
    return Trial(arm, seed, scores=(odds / odds.sum(axis=1, keepdims=True)).tolist(), **{**fields, **changes})


def summarised(
    levels: dict[str, float], config: StudyConfig | None = None, test: results.TestSet | None = None, **changes
) -> tuple[StudyConfig, list[ArmResult]]:
    """A study whose arms reach these levels; controls that are not named reach 1."""
    test = test or part()
    config = config or StudyConfig(arms=standard_arms(only=levels), **SMALL)
    levels = {arm.name: 1.0 for arm in config.arms} | levels
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
    assert arm.metrics["accuracy"].mean == pytest.approx(np.mean(accuracies))
    assert [arm.of_seeds[seed]["auroc"] for seed in (42, 123, 456)] == pytest.approx(aurocs)
    assert arm.metrics["accuracy"].sd == pytest.approx(np.std(accuracies, ddof=1))
    assert arm.metrics["auroc"].mean == pytest.approx(np.mean(aurocs))
    assert all(one.low < one.mean < one.high for one in arm.metrics.values())
    assert np.sum(arm.confusion, axis=1).tolist() == [3 * one.pictures for one in arm.classes]
    assert np.trace(arm.confusion) == pytest.approx(np.sum(accuracies) * 300)
    rates, heights = np.transpose(arm.roc)
    assert rates.tolist() == pytest.approx(np.linspace(0, 1, 101).tolist())
    assert np.trapezoid(heights, rates) == pytest.approx(np.mean(aurocs), abs=0.01)
    assert (arm.hours, arm.device, arm.seeds) == (pytest.approx(0.03), "cpu", [42, 123, 456])


def test_arms_are_compared_with_the_baseline_and_with_their_control():
    levels = {BASELINE: 1.0, "synth_100": 1.8, "limited_10": 0.6, "limited_10_real": 0.1, "real_short_50": 1.0}
    _, arms = summarised(levels)
    found = by_name(arms)
    pairs = {name: list(dict.fromkeys(d.against for d in arm.differences)) for name, arm in found.items()}
    assert pairs[BASELINE] == [] and pairs["limited_10_real"] == [BASELINE]
    assert pairs["synth_100"] == [BASELINE, "real_short_50"]
    first = found["synth_100"].differences[0]
    means = [found[name].metrics["auroc"].mean for name in ("synth_100", BASELINE)]
    assert first.metric == "auroc" and first.mean == pytest.approx(means[0] - means[1])
    assert 0 < first.low < first.mean < first.high and 0 < first.bootstrap_low < first.mean < first.bootstrap_high
    assert first.p <= first.p_holm < 0.05 and first.delong_p < 0.001 and first.welch_p < 0.01
    others = {d.metric: d for d in found["synth_100"].differences if d.against == BASELINE}
    assert tuple(others) == METRICS
    assert others["accuracy"].delong_p is None and others["accuracy"].bootstrap_low is None


def test_the_primary_arm_is_tested_alone_and_all_others_are_one_family():
    """In 0.1 comparisons with the baseline were a family of five here, and that with the control one of its own."""
    levels = {BASELINE: 1.0, "synth_25": 1.05, "synth_100": 1.3, "synth_only": 0.9, "limited_10": 0.7}
    _, arms = summarised(levels)
    found = {(arm.arm, d.against): d for arm in arms for d in arm.differences if d.metric == "auroc"}
    primary = found.pop(("synth_100", BASELINE))
    assert primary.p_holm == primary.p and primary.delong_holm == primary.delong_p
    assert len(found) == 7 and {against for _, against in found} == {BASELINE, "real_short_50", "limited_10_real"}
    corrected = holm([one.p for one in found.values()])
    assert [one.p_holm for one in found.values()] == pytest.approx(corrected)


def test_the_primary_comparison_of_an_arm_with_a_part_of_the_data_is_with_its_control():
    config = StudyConfig(arms=standard_arms(only=("limited_10", "synth_100")), primary="limited_10", **SMALL)
    _, arms = summarised({"limited_10": 0.9, "limited_10_real": 0.8, "synth_100": 1.2}, config)
    with_baseline, with_control = (
        by_name(arms)["limited_10"].difference_from(other) for other in (BASELINE, "limited_10_real")
    )
    assert with_control.p_holm == with_control.p and with_baseline.p_holm > with_baseline.p


def test_without_a_primary_arm_all_are_one_family():
    arms = (Arm(name=BASELINE), Arm(name="synth_25", synthetic=25), Arm(name="synth_50", synthetic=50))
    config, found = summarised({"synth_25": 1.2, "synth_50": 1.3}, StudyConfig(arms=arms, **SMALL))
    one = min((arm.difference_from(BASELINE) for arm in found[1:]), key=lambda one: one.p)
    assert one.p_holm == pytest.approx(2 * one.p)
    assert answer(config, found).headline == "No arm was named as the primary one, so none was tested alone."


@pytest.mark.slow
def test_what_is_detectable_is_so_at_the_level_of_the_test():
    """The primary arm's at 5 %; an other one's among 16 after the correction, in 0.1 among ten."""
    primary = by_name(summarised({BASELINE: 1.0, "synth_25": 1.0})[1])["synth_25"].differences[0]
    among = by_name(summarised({arm.name: 1.0 for arm in standard_arms()})[1])["synth_25"].differences[0]
    assert (among.mean, among.p) == (primary.mean, primary.p)
    assert among.detectable > 1.3 * primary.detectable


THREE = (Arm(name=BASELINE), Arm(name="synth_25", synthetic=25), Arm(name="synth_50", synthetic=50))


def test_a_lost_seed_leaves_pairs_of_the_others_and_a_lost_arm_no_figures():
    test, config = part(), StudyConfig(arms=THREE, **SMALL)
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
    both = [d.metrics["auroc"].mean for d in (one, baseline)]
    assert (one.seeds, one.failed) == ([42, 456], [123])
    assert one.differences[0].mean != pytest.approx(both[0] - both[1], abs=1e-6)
    assert (gone.failed, gone.metrics, gone.differences, gone.classes) == ([42, 123, 456], {}, [], [])
    with pytest.raises(BadInput, match="arm baseline: every trial failed"):
        summarise(config, trials[3:], lost, test, CLASSES, np.random.default_rng(0))


def test_one_seed_has_intervals_of_its_patients():
    config = StudyConfig(arms=THREE[:2], seeds=(42,), resamples=100)
    _, (_, arm) = summarised({BASELINE: 1.0, "synth_25": 1.6}, config)
    assert arm.metrics["auroc"].sd is None and arm.metrics["auroc"].low < arm.metrics["auroc"].high
    assert arm.differences[0].welch_p is None and arm.differences[0].p == pytest.approx(
        arm.differences[0].delong_p, abs=0.01
    )
    assert any(line.startswith("One seed") for line in notes(config, [], part(), CLASSES))


def test_subgroups_of_few_patients_have_no_auroc():
    _, (arm,) = summarised({BASELINE: 1.0})
    found = {(group.attribute, group.value): group for group in arm.subgroups}
    alone = [("sex", "F"), ("sex", "M"), ("age", "40-49"), ("age", "90-99")]
    assert list(found) == [*alone, ("sex+age", "F, 40-49"), ("sex+age", "M, 40-49")]
    assert sum(found["sex", value].patients for value in "FM") == 135  # of 15 patients it is not known
    assert found["age", "90-99"].auroc is None and found["age", "90-99"].pictures == 6
    assert found["sex", "F"].auroc.low < found["sex", "F"].auroc.mean


def test_selection_bias_is_what_the_best_epoch_on_the_test_set_gains():
    _, (arm,) = summarised({BASELINE: 1.0})
    assert arm.selection_bias.mean == pytest.approx(0.8 - 0.75)
    _, (arm,) = summarised({BASELINE: 1.0}, curve=[ValidationPoint(10, 0.6, 0.7, 0.6)], best=0)
    assert arm.selection_bias is None


def test_a_test_part_that_shows_a_class_once_is_refused():
    test = part()
    labels = [0] * 298 + [1, 1]
    with pytest.raises(BadInput, match="1 patients with PNEUMONIA"):
        summarised({BASELINE: 1.0}, test=results.TestSet(test.image_ids, labels, test.patients, {}))


def test_arms_have_titles_in_words():
    assert arm_label(Arm(name="a", synthetic=25)) == "100 % real + 25 % synthetic"
    assert arm_label(Arm(name="a", real=0, synthetic=100)) == "100 % synthetic"
    assert arm_label(Arm(name="a", steps=66.67)) == "100 % real, 66.7 % of the steps"
    assert arm_label(Arm(name="a", synthetic=50, shuffled=True)) == "100 % real + 50 % synthetic with shuffled labels"
    assert arm_label(Arm(name="a", repeat=2)) == "100 % real, 2 times"
    assert arm_label(Arm(name="a", synthetic=50, order="synthetic_first")) == "50 % synthetic, then 100 % real"


def said(levels: dict[str, float], saw_more: Sequence[str] = (), **fields) -> Answer:
    config = StudyConfig(arms=standard_arms(only=levels), **SMALL, **fields)
    return answer(*summarised(levels, config), saw_more)


def test_synthetic_pictures_helped_where_the_primary_arm_beats_the_baseline_and_its_control():
    levels = {BASELINE: 1.0, "synth_25": 1.2, "synth_100": 1.8}
    found = said(levels)
    helped = "Synthetic pictures helped: with as many synthetic as real pictures AUROC rose by "
    assert re.fullmatch(helped + r"0\.\d+ \(0\.\d+ to 0\.\d+\)\.", found.headline)
    assert "tested alone at 5 %" in found.details[0]
    assert found.details[1].startswith("synth_100 less its control, 100 % real, 50 % of the steps: AUROC rose by 0.")
    found = said(levels | {"real_short_50": 1.8})
    assert found.headline.startswith("With as many synthetic as real pictures AUROC rose by 0.")
    assert found.headline.endswith("but no difference from 100 % real, 50 % of the steps was shown.")


def test_what_fewer_looks_at_the_real_pictures_explain_is_no_harm_of_the_synthetic_ones():
    """What 0.1 said of PneumoniaMNIST: "they hurt a little", where real data alone in as few looks lost as much."""
    levels = {BASELINE: 1.8, "synth_100": 1.0}
    assert said(levels | {"real_short_50": 1.8}).headline.startswith("Synthetic pictures hurt: with as many synthetic")
    found = said(levels | {"real_short_50": 1.0}).headline
    assert found.startswith("With as many synthetic as real pictures AUROC fell by 0.") and "hurt" not in found
    assert found.endswith("but no difference from 100 % real, 50 % of the steps was shown.")


def test_the_headline_is_one_short_sentence_and_says_what_was_seen():
    found = said({BASELINE: 1.0, "synth_25": 1.0, "synth_50": 1.0, "synth_100": 1.0, "limited_10": 0.8})
    seen = r"[+-]0\.\d+ \([+-]0\.\d+ to [+-]0\.\d+\)"
    expected = rf"No detectable difference: with as many synthetic as real pictures AUROC changed by {seen}\."
    assert re.fullmatch(expected, found.headline)
    assert len(found.headline) < 130 and "a true difference of 0." in found.details[0]
    assert any(
        line.startswith("No detectable difference from the baseline: synth_25, synth_50 (") for line in found.details
    )


def test_with_a_margin_the_answer_is_better_worse_within_or_undecided():
    alike = {BASELINE: 1.0, "synth_50": 1.0, "synth_100": 1.0}
    found = said(alike, margin=0.2)
    start = "No difference that matters: with as many synthetic as real pictures AUROC changed by "
    assert found.headline.startswith(start) and found.headline.endswith(", within the margin of 0.2.")
    undecided = "Undecided: with as many synthetic as real pictures AUROC changed by "
    assert said(alike, margin=0.001).headline.startswith(undecided)
    assert said({BASELINE: 1.0, "synth_100": 1.8}, margin=0.001).headline.startswith("Synthetic pictures helped: ")


def test_each_arm_is_decided_and_the_notes_say_what_the_margin_is():
    config = StudyConfig(arms=standard_arms(only=["synth_50", "synth_100"]), margin=0.2, **SMALL)
    arms = {arm.arm: arm for arm in summarised({BASELINE: 1.8, "synth_50": 1.8, "synth_100": 0.2}, config)[1]}
    against_baseline = {name: arm.difference_from(BASELINE) for name, arm in arms.items()}
    assert (
        decide(against_baseline["synth_50"]) == "within the margin" and decide(against_baseline["synth_100"]) == "worse"
    )
    assert all(one.margin_p is None for one in arms["synth_50"].differences if one.metric != "auroc")
    assert any("less than 0.2 was named before the run" in line for line in notes(config, [], part(), CLASSES))


def test_the_primary_arm_is_another_where_another_is_named():
    found = said({BASELINE: 1.0, "synth_25": 1.0, "synth_50": 1.8, "synth_100": 1.0}, primary="synth_50")
    assert found.headline.startswith(
        "Synthetic pictures helped: with half as many synthetic as real pictures AUROC rose"
    )
    assert said({BASELINE: 1.0, "synth_only": 0.1}).headline.startswith(
        "With synthetic pictures alone AUROC fell by 0."
    )


def test_shuffled_labels_are_told_by_themselves():
    found = said({BASELINE: 1.8, "synth_100": 1.8, "shuffled_100": 0.8})
    start = "shuffled_100, the same pictures with labels that say nothing: AUROC fell by 0."
    assert sum(line.startswith(start) for line in found.details) == 1
    assert not any("from the baseline: shuffled" in line for line in found.details)


def test_where_nothing_varied_nothing_could_be_found():
    config, arms = summarised({BASELINE: 60.0, "synth_25": 60.0})
    assert arms[0].metrics["auroc"].mean == 1 and arms[1].differences[0].detectable is None
    assert "nothing varied" in answer(config, arms).details[1]


def test_a_comparison_that_is_perfect_without_synthetic_pictures_is_explained_and_no_other():
    solved = "an AUROC of 1.000, or 0."
    perfect, far = {BASELINE: 60.0, "synth_100": 60.0}, {BASELINE: 1.0, "synth_100": 60.0}
    (line,) = [line for line in said(perfect).details if solved in line]
    assert line.startswith("baseline has") and "cannot show that synthetic ones help" in line
    assert not any(solved in line for line in said(far).details)  # only what it is compared with leaves no room
    few = {BASELINE: 60.0, "limited_10": 60.0, "limited_10_real": 1.0}
    assert not any(solved in line for line in said(few, primary="limited_10").details)
    few = {BASELINE: 60.0, "limited_10": 60.0, "limited_10_real": 60.0}
    assert any(line.startswith("limited_10_real has") for line in said(few, primary="limited_10").details)


FEW_DATA = {BASELINE: 1.5, "synth_100": 1.5, "limited_10": 1.4, "limited_10_real": 0.5, "limited_25": 1.0}


def test_few_real_data_have_a_sentence_an_arm():
    found = [line for line in said(FEW_DATA).details if line.startswith("limited")]
    assert found[0].startswith("limited_10 less its control, the same 10 % alone: AUROC rose by 0.")
    assert found[1].startswith("limited_25 less its control, the same 25 % alone: no detectable difference")


def test_a_generator_that_saw_all_real_pictures_is_no_answer_for_few():
    """0.1 said "Where real data are few ... raised AUROC" whatever the generator had seen."""
    why = "may have seen all real training pictures, so this is no answer for few real data"
    found = [line for line in said(FEW_DATA, ["limited_10"]).details if line.startswith("limited")]
    assert [why in line for line in found] == [True, False]
    assert not any(why in line for line in said(FEW_DATA).details)
    first = said(FEW_DATA, ["limited_10"], primary="limited_10")
    assert first.details[0] == f"The generator of limited_10 {why}."
    assert first.headline.startswith(
        "Synthetic pictures helped: with 100 % synthetic pictures beside 10 % of the real ones"
    )


def test_the_answer_of_one_arm_is_its_own_figures():
    config, [alone] = summarised({BASELINE: 1.0})
    found = answer(config, [alone])
    accuracy = alone.metrics["accuracy"]
    assert f"accuracy {accuracy.mean:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f}), AUROC" in found.headline
    assert found.details[0].startswith("No arm of this study")


def test_a_primary_arm_that_failed_has_no_answer():
    config, test = StudyConfig(arms=THREE, primary="synth_50", **SMALL), part()
    trials = [trial(test, arm, seed, 1.0) for arm in (BASELINE, "synth_25") for seed in config.seeds]
    lost = [("synth_50", seed) for seed in config.seeds]
    arms = summarise(config, trials, lost, test, CLASSES, np.random.default_rng(0))
    assert answer(config, arms).headline.startswith(
        "No answer: the trials of synth_50, the primary arm, or of baseline"
    )


def test_notes_say_which_comparisons_are_one_family_and_what_the_seeds_can_see():
    lines = notes(StudyConfig(**SMALL), [], part(), CLASSES)
    assert any(
        line.startswith("The other 16 comparisons, with the baseline and with controls, are one") for line in lines
    )
    assert any("synth_100 less baseline is tested alone at 5 %" in line and "up to 10 %" in line for line in lines)
    assert any("3 seeds can see" in line and "primary comparison 3.3, in the others 13.1" in line for line in lines)
    assert any("same patients with every seed (subset seed" in line for line in lines)
    assert not any("as a whole" in line for line in lines)
    redrawn = (Arm(name=BASELINE), Arm(name="real_50", real=50, redraw=True))
    lines = notes(StudyConfig(arms=redrawn), [], part(), CLASSES)
    assert any("as a whole" in line for line in lines) and not any("subset seed" in line for line in lines)
    plain = notes(StudyConfig(arms=THREE[:1]), [], part(), CLASSES)
    assert not any("family" in line or "subset seed" in line or "can see" in line for line in plain)


@pytest.mark.parametrize(("seeds", "alone", "of_ten"), [(3, 3.3, 10.4), (5, 1.7, 3.2), (8, 1.2, 1.8)])
def test_what_so_many_seeds_find_in_standard_deviations(seeds: int, alone: float, of_ten: float):
    assert detectable_in_deviations(seeds, 0.05) == pytest.approx(alone, abs=0.06)
    assert detectable_in_deviations(seeds, 0.005) == pytest.approx(of_ten, abs=0.06)


def test_notes_name_failures_and_few_patients():
    lines = notes(StudyConfig(), [("synth_25", 42), ("synth_25", 123)], part(40), CLASSES)
    assert "synth_25: failed with seed 42, 123." in lines
    assert "20 test patients show NORMAL: intervals are rough below 30." in lines
