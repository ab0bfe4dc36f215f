import numpy as np
import pytest
import torch
from torchmetrics.functional import classification as theirs

from cxr.classify.scores import score_predictions
from cxr.study.results import METRICS


def answers(classes: int, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are right more often than not."""
    rng = np.random.default_rng(classes)
    labels = rng.integers(classes, size=count)
    labels[:classes] = range(classes)
    logits = rng.normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels]
    return (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32), labels


def test_four_pictures_by_hand():
    """Positive: 0.9 found, 0.4 missed; negative: 0.2 rejected, 0.6 falsely found. One of four pairs is in disorder."""
    positive = np.array([0.9, 0.4, 0.2, 0.6])
    found = score_predictions(np.stack([1 - positive, positive], axis=1), np.array([1, 1, 0, 0]))
    assert tuple(found) == METRICS
    expected = {"auroc": 0.75, "accuracy": 0.5, "f1": 0.5, "sensitivity": 0.5, "specificity": 0.5}
    # confidences 0.9 and 0.8 are right, 0.6 twice is wrong: bins 13, 12 and 9
    assert found == pytest.approx(expected | {"calibration_error": (0.1 + 0.2 + 1.2) / 4})


def test_of_two_classes_the_last_is_positive():
    probabilities, labels = answers(2)
    one, target = torch.from_numpy(probabilities[:, 1]), torch.from_numpy(labels)
    assert score_predictions(probabilities, labels) == pytest.approx(
        {
            "auroc": theirs.binary_auroc(one, target).item(),
            "accuracy": theirs.binary_accuracy(one, target).item(),
            "f1": theirs.binary_f1_score(one, target).item(),
            "sensitivity": theirs.binary_recall(one, target).item(),
            "specificity": theirs.binary_specificity(one, target).item(),
            "calibration_error": theirs.multiclass_calibration_error(torch.from_numpy(probabilities), target, 2).item(),
        },
        abs=1e-6,
    )


def test_of_ten_classes_figures_are_means_over_each_against_the_others():
    probabilities, labels = answers(10)
    given = torch.from_numpy(probabilities), torch.from_numpy(labels), 10
    assert score_predictions(probabilities, labels) == pytest.approx(
        {
            "auroc": theirs.multiclass_auroc(*given, average="macro").item(),
            "accuracy": theirs.multiclass_accuracy(*given, average="micro").item(),
            "f1": theirs.multiclass_f1_score(*given, average="macro").item(),
            "sensitivity": theirs.multiclass_recall(*given, average="macro").item(),
            "specificity": theirs.multiclass_specificity(*given, average="macro").item(),
            "calibration_error": theirs.multiclass_calibration_error(*given).item(),
        },
        abs=1e-6,
    )
