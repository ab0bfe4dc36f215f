"""A study of pictures that can show several findings: its figures by hand, and the whole of it without Ray."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr.classify.config import ClassifyConfig
from cxr.data.catalog import CatalogSet
from cxr.data.labels import LabelPolicy, Labels
from cxr.errors import BadInput
from cxr.store import open_store
from cxr.study.config import BASELINE, Arm, StudyConfig, standard_arms
from cxr.study.finish import complete, write_report
from cxr.study.influence import average_precision
from cxr.study.job import begin, pending_trials, prepare
from cxr.study.results import TestSet, Trial, ValidationPoint
from cxr.study.sets import draw_training_sets, load, match_sets
from cxr.study.several import measure_findings, measured_findings
from cxr.study.statistics import holm
from cxr.study.summary import summarise
from tests.stored import label_columns

NAN = float("nan")
FINDINGS = ("edema", "mass", "nodule")  # nobody shows the last among test pictures


def test_average_precision_is_that_of_scikit_learn_and_components_are_its_slopes():
    rng = np.random.default_rng(0)
    shown, scores = rng.random(40) < 0.3, rng.integers(0, 12, 40) / 12
    patients = np.arange(40) // 2
    found = average_precision(scores, shown, patients)
    assert found.value == pytest.approx(average_precision_score(shown, scores))
    assert found.components.sum() == pytest.approx(0)
    carriers, step = len(set(patients[shown])), 1e-5
    for patient in range(20):
        more = np.where(patients == patient, 1 + step, 1.0)
        slope = (average_precision_score(shown, scores, sample_weight=more) - found.value) / step
        assert found.components[patient] == pytest.approx(slope * np.sqrt(carriers / (carriers - 1)), abs=1e-4)


def test_components_of_average_precision_say_how_it_varies_with_the_patients():
    rng, values, said = np.random.default_rng(1), [], []
    for _ in range(300):
        sick = rng.random(150) < 0.3
        shown, owners = np.repeat(sick, 2), np.repeat(np.arange(150), 2)
        scores = np.repeat(rng.normal(size=150), 2) + 0.5 * rng.normal(size=300) + 1.5 * shown
        found = average_precision(scores, shown, owners)
        values.append(found.value)
        said.append(np.square(found.components).sum())
    assert np.sqrt(np.mean(said)) == pytest.approx(np.std(values), rel=0.12)


def test_metrics_are_means_over_findings_and_unknown_labels_are_left_out():
    rng, patients = np.random.default_rng(2), np.repeat(np.arange(15), 2)
    labels = np.where(rng.random((30, 3)) < 0.4, 1.0, 0.0)
    labels[rng.random((30, 3)) < 0.2] = NAN
    labels[:, 2] = [1, 1] + [0] * 28  # one patient: not measured
    scores = rng.integers(0, 9, (30, 3)) / 9
    assert measured_findings(labels, patients) == [0, 1]
    found = measure_findings(scores, labels, patients, FINDINGS)
    for name, truth in (("auroc", roc_auc_score), ("average_precision", average_precision_score)):
        each = [truth(labels[rows, column], scores[rows, column])
                for column in (0, 1) for rows in [~np.isnan(labels[:, column])]]  # fmt: skip
        assert [found[f"{name} of {finding}"].value for finding in FINDINGS[:2]] == pytest.approx(each)
        assert found[name].value == pytest.approx(np.mean(each))
        both = [found[f"{name} of {finding}"] for finding in FINDINGS[:2]]
        assert found[name].components == pytest.approx((both[0].components + both[1].components) / 2)
        assert found[name].patients <= max(one.patients for one in both)
    assert "auroc of nodule" not in found


def trials_of(better: dict[str, list[float]], test: TestSet) -> list[Trial]:
    """Scores that tell each finding the better the higher its level; by arm."""
    labels, found = np.nan_to_num(np.array(test.labels), nan=0.5), []
    hardness = np.random.default_rng(5).normal(size=labels.shape)
    for arm, levels in better.items():
        for seed in (1, 2, 3):
            own = 0.2 * np.random.default_rng([seed, *arm.encode()]).normal(size=labels.shape)
            scores = 1 / (1 + np.exp(-(hardness + own + np.array(levels) * labels)))
            curve = [ValidationPoint(5, 0.5, 0.7, 0.7)]
            found.append(Trial(arm, seed, 9, 9, 5, 0, curve, scores.tolist(), "cpu", 1.0))
    return found


def test_a_difference_in_one_finding_is_found_there_and_nowhere_else():
    rng, count = np.random.default_rng(4), 300
    labels = np.where(rng.random((count, 3)) < 0.1, NAN, rng.integers(0, 2, (count, 3)))
    patients = [f"p{row // 2}" for row in range(count)]
    test = TestSet([str(row) for row in range(count)], labels.tolist(), patients, {}, FINDINGS)
    config = StudyConfig(arms=standard_arms(only=("synth_50", "synth_100")), seeds=(1, 2, 3), resamples=100)
    levels = {arm.name: [1.0, 1.0, 1.0] for arm in config.arms} | {"synth_100": [1.0, 2.2, 1.0]}
    arms = summarise(config, trials_of(levels, test), [], test, FINDINGS, np.random.default_rng(0))
    (mixed,) = (arm for arm in arms if arm.arm == "synth_100")
    (other,) = (arm for arm in arms if arm.arm == "synth_50")
    single = {one.metric: one for one in mixed.differences if " of " in one.metric}
    assert single["auroc of mass"].p_holm < 0.01 and single["auroc of mass"].low > 0
    assert all(single[f"auroc of {name}"].p_holm > 0.2 for name in ("edema", "nodule"))
    macro = mixed.difference_from(BASELINE)
    assert macro.p_holm < 0.05 and macro.mean == pytest.approx(np.mean([one.mean for one in single.values()]))
    assert macro.bootstrap_low < macro.mean < macro.bootstrap_high and other.difference_from(BASELINE).p_holm > 0.2


def stored(stored_set, name: str, seed: int, patients: int, parts: bool) -> CatalogSet:
    """Two pictures a patient; edema is a bright left, mass a bright right side, each with chance 1/2."""
    rng, count = np.random.default_rng(seed), 2 * patients
    shown = np.repeat(rng.random((patients, 2)) < 0.5, 2, axis=0)
    pixels = rng.integers(0, 90, (count, 16, 16), dtype=np.uint8)
    for picture, (left, right) in zip(pixels, shown, strict=True):
        picture[:, :6] += np.uint8(100 * left)
        picture[:, 10:] += np.uint8(100 * right)
    labels = []
    for row, sides in enumerate(shown):
        present = tuple(name for name, side in zip(FINDINGS, sides, strict=False) if side)
        absent = tuple(name for name in FINDINGS if name not in present)
        doubtful = absent[:1] if row % 7 == 0 else ()
        labels.append(Labels(present, absent[len(doubtful) :], doubtful))
    columns = label_columns(labels, FINDINGS)
    split = ["train"] * (count // 2) + ["validation"] * (count // 4) + ["test"] * (count - count // 2 - count // 4)
    told = {"split": split, "patient_id": [f"p{row // 2}" for row in range(count)]} if parts else {}
    columns["metrics"] |= {} if parts else {"patients_seen": []}
    return stored_set(name, pixels, **columns, **told)


@pytest.fixture(scope="module")
def real(stored_set) -> CatalogSet:
    return stored(stored_set, "real", 1, 48, parts=True)


@pytest.fixture(scope="module")
def synthetic(stored_set) -> CatalogSet:
    return stored(stored_set, "fake", 2, 30, parts=False)


ARMS = (
    Arm(name=BASELINE),
    Arm(name="half", real=50),
    Arm(name="synth_100", synthetic=100),
    Arm(name="shuffled_100", synthetic=100, shuffled=True),
)
CONFIG = StudyConfig(
    classifier=ClassifyConfig(network="cnn", resize=16, size=16, epochs=2, batch=12, learning_rate=5e-3, flip=False),
    arms=ARMS, seeds=(1, 2), resamples=100, selection_bias=True, allow_unchecked_copies=True,
)  # fmt: skip


def test_a_whole_study_trains_on_label_rows_and_reports_each_finding(real, synthetic, tmp_path: Path):
    job = prepare(open_store(str(tmp_path)), CONFIG, real, synthetic, None, None)
    pixels = load(job.sets, job.used, 16, lambda count: None)
    begin(job)
    told: list[dict] = []
    for worker in pending_trials(job, 1):
        worker(told.append, pixels, job.sets.labels[job.used])
    assert not [message for message in told if "error" in message]
    study, written = write_report(job)
    assert complete(job, study, written, {"total": 1.0}).metrics["baseline"]["auroc"] > 0.5

    assert study.several and study.pictures == {"train": 48, "validation": 24, "test": 24}
    baseline, half, mixed, shuffled = study.arms
    assert [arm.real for arm in study.arms] == [48, pytest.approx(24, abs=4), 48, 48]
    assert (mixed.synthetic, shuffled.synthetic) == (48, 48)
    assert set(baseline.metrics) == {
        *("auroc", "average_precision"), *(f"{name} of {finding}" for name in ("auroc", "average_precision")
          for finding in FINDINGS[:2])
    }  # fmt: skip
    each = [baseline.metrics[f"auroc of {name}"].mean for name in FINDINGS[:2]]
    assert baseline.metrics["auroc"].mean == pytest.approx(np.mean(each))
    single = [one for one in mixed.differences if " of " in one.metric]
    assert [one.metric for one in single] == ["auroc of edema", "auroc of mass"]
    assert [one.p_holm for one in single] == pytest.approx(holm([one.p for one in single]))
    assert not [one for arm in (half, shuffled) for one in arm.differences if " of " in one.metric]
    assert any("nodule" in note and note.startswith("Left out of all means") for note in study.notes)

    page = (tmp_path / "index.html").read_text()
    assert "AUPRC" in page and "findings" in page and "accuracy.png" not in page
    rows = list(csv.DictReader(io.StringIO((tmp_path / "classes.csv").read_text())))
    assert [(row["arm"], row["finding"]) for row in rows[:3]] == [(BASELINE, name) for name in FINDINGS]
    assert float(rows[0]["average_precision_mean"]) > 0 and rows[2]["auroc_mean"] == ""
    assert json.loads((tmp_path / "results.json").read_text())["pictures"]["test"] == 24


def test_labels_count_as_the_policy_says_and_only_then_stand_in_the_recipe(real, synthetic, tmp_path: Path):
    usual = match_sets(real, synthetic, CONFIG)
    absent = CONFIG.model_copy(update={"labels": LabelPolicy(uncertain="absent")})
    assert np.isnan(usual.labels).any() and not np.isnan(match_sets(real, synthetic, absent).labels).any()
    recipes = [prepare(open_store(str(tmp_path)), one, real, synthetic, None, None).recipe for one in (CONFIG, absent)]
    assert "labels" not in recipes[0] and recipes[1]["labels"] == {"uncertain": "absent", "unknown": "ignore"}


def test_smaller_parts_lie_in_larger_ones_and_are_of_whole_patients(real, synthetic):
    sets = match_sets(real, synthetic, CONFIG)
    draws = draw_training_sets(sets, CONFIG)
    half, every = set(draws["half", 1].real.tolist()), set(draws[BASELINE, 1].real.tolist())
    assert half < every and half == set(draws["half", 2].real.tolist())
    assert all((row ^ 1) in half for row in half)  # both pictures of a patient
    assert set(draws["synth_100", 1].synthetic.tolist()) == set(draws["shuffled_100", 1].synthetic.tolist())


def test_sets_that_do_not_fit_are_refused_in_one_line(real, synthetic, stored_set):
    rng = np.random.default_rng(3)
    exclusive = stored_set("one", rng.integers(0, 256, (4, 16, 16), np.uint8), finding=["edema", "mass"] * 2)
    with pytest.raises(BadInput, match=r"its findings are one a picture of edema, mass, those of --real .*--like"):
        match_sets(real, exclusive, CONFIG)
    with pytest.raises(BadInput, match=r"--positive 'mass': is for one of two findings"):
        match_sets(real, synthetic, CONFIG.model_copy(update={"positive": "mass"}))
    few = replace(synthetic, table=synthetic.table.slice(0, 20))
    with pytest.raises(BadInput, match="needs 48 synthetic pictures of any finding, there are 20: 28 missing"):
        match_sets(real, few, CONFIG)
