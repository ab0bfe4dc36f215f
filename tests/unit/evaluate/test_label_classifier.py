from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter
from sklearn.metrics import roc_auc_score

from cxr.artifact import quality
from cxr.data.prompt_accuracy import prompt_accuracies
from cxr.evaluate import page
from cxr.evaluate.label_classifier import (
    LabelClassifier,
    Labelled,
    PromptAccuracies,
    SeenFindings,
    measure_auroc,
    measure_prompt_accuracy,
    see,
    train_label_classifier,
)
from cxr.evaluate.results import explain_perfect
from cxr.evaluate.sets import ImageSet, Labelling
from tests.unit.evaluate.conftest import label

FINDINGS = np.array(["a", "a", "a", "b", "c", "c"])


def named(numbers: list[int], known: int = 3) -> np.ndarray:
    """As probabilities."""
    return np.eye(known, dtype=np.float32)[numbers]


def seen(asked: str, numbers: list[int], known: str = "abc") -> SeenFindings:
    return see(tuple(known), None, tuple(asked), label(FINDINGS).columns(known), named(numbers), rng())


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_rows_are_what_was_asked_and_columns_what_is_seen():
    found = seen("abc", [0, 0, 2, 1, 0, 1])
    assert found.counts == [[2, 0, 1], [0, 1, 0], [1, 1, 0]]
    assert found.accuracy.share == 0.5
    assert {name: (each.count, each.total) for name, each in found.findings.items()} == {
        "a": (2, 3),
        "b": (1, 1),
        "c": (0, 2),
    }
    assert {name: (each.count, each.total) for name, each in found.absent.items()} == {
        "a": (1, 3),
        "b": (1, 5),
        "c": (1, 4),
    }


def test_rows_are_of_compared_findings_only():
    classifier = LabelClassifier(("a", "b", "c"), None, named, ("a", "c"), seen("ac", [0, 0, 0, 1, 2, 2]))
    asked = label(np.array(["c", "x", "a", "b", "c"]))
    found = measure_prompt_accuracy(classifier, asked, named([0, 1, 2, 0, 1]), rng())
    assert found.synthetic.counts == [[0, 0, 1], [1, 1, 0]] and found.synthetic.accuracy.total == 3
    assert page.confusion_table(found.findings, found.synthetic) == (
        ["", "a", "b", "c", "accuracy"],
        [
            ["a", "·", "·", "1", "0.0 % (0.0 to 97.5)"],
            ["c", "1", "1", "·", "0.0 % (0.0 to 84.2)"],
            ["all", "", "", "", "0.0 % (0.0 to 70.8)"],
        ],
    )


def test_one_compared_finding_is_judged_by_a_classifier_that_knows_the_others_too(made_pictures):
    """It sees b in every picture, so never the a that was asked; one that knew a alone would always see it."""
    real, parts = made_pictures("r", 60), []

    def always_b(train: Labelled, validation: Labelled):
        parts.extend((train, validation))
        return lambda pixels: named([1] * len(pixels), 2)

    classifier = train_label_classifier(real, real.labels, True, ("a",), always_b, rng())
    assert [labels.sum(axis=0).tolist() for _, labels in parts] == [[36, 36], [12, 12]]
    assert (classifier.findings, classifier.real.counts) == (("a", "b"), [[0, 12]])
    found = measure_prompt_accuracy(classifier, label(np.array(["a"] * 7)), named([1] * 7, 2), rng())
    assert found.synthetic.accuracy.share == 0 and found.synthetic.aurocs == {}


@pytest.mark.parametrize(("kept", "asked"), [(["a"], ("a",)), (["b", "c"], ("a",))])
def test_without_two_findings_to_tell_apart_or_one_that_is_asked_it_is_not_measured(made_pictures, kept, asked):
    """In the test part, whatever the others show."""
    real = made_pictures("r", 60)
    findings = np.where(np.arange(120) // 10 % 2, "c", real.findings)
    lost = (real.splits == "test") & ~np.isin(findings, kept)
    real = replace(real, labels=label(findings), splits=np.where(lost, "", real.splits))
    assert train_label_classifier(real, real.labels, True, asked, lambda *parts: None, rng()) is None


def several(seed: int, count: int = 600, doubtful: float = 0.0) -> ImageSet:
    """Pictures of 2 x 1 pixels, each bright where one of two independent findings is; two pictures a patient."""
    draw = rng(seed)
    present = draw.random((count, 2)) < 0.4
    pixels = np.clip(100 + 80 * present + 20 * draw.normal(size=(count, 2)), 0, 255).astype(np.uint8)[:, :, None]
    values = np.where(draw.random((count, 2)) < doubtful, np.nan, present).astype(np.float32)
    ids, splits = np.arange(count).astype(str), np.array(["train", "validation", "test"])[np.arange(count) // 2 % 3]
    patients = (np.arange(count) // 2).astype(str)
    return ImageSet(ids, Labelling(("a", "b"), values), ids, patients, splits, pixels.__getitem__)


def brightness(train: Labelled, validation: Labelled):
    return lambda pixels: pixels[:, :, 0].astype(np.float32) / 255


def swapped(labels: Labelling, share: float, seed: int) -> Labelling:
    """Where that many labels of a finding say the opposite."""
    wrong = rng(seed).random(labels.values.shape) < share
    return Labelling(labels.names, np.where(wrong, 1 - labels.values, labels.values))


def accuracies_of(share: float, seed: int = 0, doubtful: float = 0.0) -> PromptAccuracies:
    """Of synthetic pictures that show the opposite of what was asked in so many cases."""
    real, synthetic = several(2 * seed, doubtful=doubtful), several(2 * seed + 1, doubtful=doubtful)
    classifier = train_label_classifier(real, real.labels, False, ("a", "b"), brightness, rng())
    asked, pixels = swapped(synthetic.labels, share, seed), synthetic.read(np.arange(600))
    return measure_prompt_accuracy(classifier, asked, classifier.predict(pixels), rng())


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_labels_that_are_swapped_lower_the_auroc_by_as_much(share: float):
    """A picture is asked for in 40 %, so those that show it are a share 0.4 (1 - s) + 0.6 s, and so on."""
    shown = 0.4 * (1 - share) / (0.4 * (1 - share) + 0.6 * share)
    others = 0.4 * share / (0.4 * share + 0.6 * (1 - share))
    expected = 0.5 + (shown - others) / 2  # of a classifier that never errs
    for seed in range(3):
        found = accuracies_of(share, seed)
        for name, auroc in found.synthetic.aurocs.items():
            assert auroc.value == pytest.approx(expected, abs=0.06) and auroc.high < found.real.aurocs[name].low


def test_right_labels_have_the_auroc_of_real_pictures():
    for seed in range(3):
        found = accuracies_of(0, seed)
        for name, auroc in found.synthetic.aurocs.items():
            assert auroc.value == pytest.approx(found.real.aurocs[name].value, abs=0.02) and auroc.value > 0.97
            assert auroc.low < auroc.value <= auroc.high <= 1 and auroc.present + auroc.absent == 600
        assert found.synthetic.counts == [] and found.real.aurocs["a"].present < 200


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_share_of_right_labels_is_found_where_pictures_show_several(share: float):
    """As a study reads it: of those that were asked for a finding the share that shows it."""
    right = 0.4 * (1 - share) / (0.4 * (1 - share) + 0.6 * share)
    found = accuracies_of(share, seed=3)
    stored = TypeAdapter(type(found)).dump_json(found, by_alias=True)
    read = quality.PromptAccuracies.model_validate_json(stored)
    for one in prompt_accuracies(read):
        assert one.right == pytest.approx(right, abs=0.1) and one.false_alarms < 0.1


def test_a_classifier_that_cannot_tell_real_pictures_apart_says_so():
    labels = np.repeat([[0.0], [1.0]], 40, axis=0)
    blind, able = (
        see(("a",), (0.5,), ("a",), labels, labels * share + rng().random((80, 1)), rng()) for share in (0, 2)
    )
    assert page.describe_worst(blind, blind).endswith(", no better than chance, so that nothing follows for this one.")
    assert page.describe_worst(blind, able).endswith("real pictures with an AUROC of 1.000 (0.912 to 1.000).")


def test_what_nobody_knows_is_left_out():
    found = accuracies_of(0, doubtful=0.5)
    assert all(
        250 < auroc.present + auroc.absent < 350 and auroc.value > 0.97 for auroc in found.synthetic.aurocs.values()
    )


def test_a_finding_that_a_part_of_the_real_set_lacks_is_not_asked_about():
    real = several(0)
    values = real.labels.values.copy()
    values[real.splits == "test", 1] = 1
    real = replace(real, labels=Labelling(("a", "b"), values))
    first = lambda *parts: lambda pixels: brightness(*parts)(pixels)[:, :1]  # noqa: E731
    classifier = train_label_classifier(real, real.labels, False, ("a", "b"), first, rng())
    assert classifier.compared == ("a",) and classifier.findings == ("a",)
    assert train_label_classifier(real, real.labels, False, ("b",), brightness, rng()) is None


def test_an_auroc_is_that_of_scikit_learn_and_its_interval_holds_it():
    """The true one of two normal distributions one deviation apart is 0.760."""
    held = 0
    for seed in range(60):
        draw = rng(seed)
        labels = np.repeat([0.0, 1.0], [80, 40])
        scores = draw.normal(size=120) + labels
        found = measure_auroc(scores, labels, np.arange(120), rng())
        assert found.value == pytest.approx(roc_auc_score(labels, scores))
        held += found.low <= 0.760 <= found.high
    assert held >= 53


def test_of_patients_with_several_pictures_the_interval_is_wider_and_of_perfect_order_no_point():
    draw = rng(1)
    labels = np.repeat(np.tile([0.0, 1.0], 30), 4)
    scores = np.repeat(draw.normal(size=60), 4) + labels
    single, clustered = (
        measure_auroc(scores, labels, owners, rng()) for owners in (np.arange(240), np.arange(240) // 4)
    )
    assert clustered.high - clustered.low > 1.5 * (single.high - single.low)
    perfect = measure_auroc(labels, labels, np.arange(240), rng())
    assert perfect.value == perfect.high == 1 and 0.9 < perfect.low < 1


def test_findings_that_are_told_without_a_mistake_are_explained_and_others_are_not():
    right, wrong = seen("abc", ["abc".index(name) for name in FINDINGS]), seen("abc", [0, 0, 2, 1, 0, 1])
    assert explain_perfect(PromptAccuracies(tuple("abc"), wrong, wrong)) == []
    (line,) = explain_perfect(PromptAccuracies(tuple("abc"), right, wrong))
    assert "of synthetic pictures of a, b, c, where the truth is 0." in line and "real test" not in line
    (line,) = explain_perfect(PromptAccuracies(tuple("abc"), wrong, right))
    assert "of real test pictures of a, b, c" in line and "no proof" in line
