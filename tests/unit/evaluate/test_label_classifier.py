from dataclasses import replace

import numpy as np
import pytest

from cxr.evaluate import page
from cxr.evaluate.label_classifier import (
    LabelClassifier,
    Labelled,
    confusion,
    measure_prompt_accuracy,
    train_label_classifier,
)

FINDINGS = np.array(["a", "a", "a", "b", "c", "c"])


def test_rows_are_what_was_asked_and_columns_what_is_seen():
    found = confusion("abc", "abc", FINDINGS, np.array([0, 0, 2, 1, 0, 1]))
    assert found.counts == [[2, 0, 1], [0, 1, 0], [1, 1, 0]]
    assert found.accuracy.share == 0.5
    assert {name: (each.count, each.total) for name, each in found.findings.items()} == {
        "a": (2, 3),
        "b": (1, 1),
        "c": (0, 2),
    }


def test_rows_are_of_compared_findings_only():
    real = confusion("ac", "abc", FINDINGS, np.array([0, 0, 0, 1, 2, 2]))
    found = measure_prompt_accuracy(
        LabelClassifier(("a", "b", "c"), lambda pixels: pixels, real),
        np.array(["c", "x", "a", "b", "c"]),
        np.arange(5) % 3,
    )
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
        return lambda pixels: np.ones(len(pixels), int)

    classifier = train_label_classifier(real, ("a",), always_b)
    assert [set(labels.tolist()) for _, labels in parts] == [{0, 1}, {0, 1}]
    assert (classifier.findings, classifier.real.counts) == (("a", "b"), [[0, 12]])
    assert measure_prompt_accuracy(classifier, np.array(["a"] * 7), np.ones(7, int)).synthetic.accuracy.share == 0


@pytest.mark.parametrize(("kept", "asked"), [(["a"], ("a",)), (["b", "c"], ("a",))])
def test_without_two_findings_to_tell_apart_or_one_that_is_asked_it_is_not_measured(made_pictures, kept, asked):
    """In the test part, whatever the others show."""
    real = made_pictures("r", 60)
    real = replace(real, findings=np.where(np.arange(120) // 10 % 2, "c", real.findings))
    lost = (real.splits == "test") & ~np.isin(real.findings, kept)
    assert (
        train_label_classifier(replace(real, splits=np.where(lost, "", real.splits)), asked, lambda *parts: None)
        is None
    )
