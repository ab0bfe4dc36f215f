"""What is read of a network's probabilities: calibrated, and with a threshold that another part chose."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import f1_score, recall_score

from cxr.classify.operating_point import OperatingPoint, choose_operating_point, choose_threshold, fit_temperature


def drawn(sharpness: float = 1.0, shift: float = 0.0, pictures: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, 2] of a network whose logits are that much too large, and shifted; and labels."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, pictures)
    labels = (rng.random(pictures) < expit(logits)).astype(int)
    shown = expit(sharpness * logits + shift)
    return np.stack([1 - shown, shown], axis=1), labels


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_how_much_too_sure_a_network_is(sharpness: float) -> None:
    scores, labels = drawn(sharpness)
    assert fit_temperature(scores, labels) == pytest.approx(sharpness, rel=0.1)
    calibrated = choose_operating_point(scores, labels, "0.5").read(scores).calibrated
    assert calibrated == pytest.approx(drawn()[0], abs=0.03)


def test_thresholds_are_those_of_trying_all() -> None:
    scores, labels = (one[:300] for one in drawn())
    scores, shown = scores[:, 1], labels == 1
    tried = np.linspace(0, 1, 5001)

    def rates(level: float) -> tuple[float, float, float]:
        named = scores >= level
        return recall_score(shown, named), recall_score(~shown, ~named), f1_score(shown, named, zero_division=0)

    found = np.array([rates(level) for level in tried[::10]])
    youden, f1, sensitive = (choose_threshold(scores, shown, rule) for rule in ("youden", "f1", "sensitivity=0.95"))
    assert sum(rates(youden)[:2]) >= found[:, :2].sum(axis=1).max() - 1e-9
    assert rates(f1)[2] >= found[:, 2].max() - 1e-9
    assert rates(sensitive)[0] >= 0.95 and rates(sensitive)[1] >= found[found[:, 0] >= 0.95, 1].max() - 1e-9


def test_a_network_whose_probabilities_are_all_too_low_is_judged_by_their_order() -> None:
    """What 0.1 said of such: an accuracy of hardly more than one half beside an AUROC near 1."""
    scores, labels = drawn(sharpness=4.0, shift=-12.0)
    plain, chosen = OperatingPoint(), choose_operating_point(scores[:1000], labels[:1000], "youden")
    accuracies = [float((point.read(scores[1000:]).named == labels[1000:]).mean()) for point in (plain, chosen)]
    assert accuracies[0] < 0.65 and accuracies[1] > 0.75
    assert (chosen.read(scores).scores == scores).all()


def test_of_several_classes_the_most_probable_is_named() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.dirichlet(np.ones(4), 200), rng.integers(4, size=200)
    point = choose_operating_point(scores, labels, "youden")
    assert point.threshold is None and (point.read(scores).named == scores.argmax(axis=1)).all()


def test_a_perfect_validation_part_has_a_threshold_between_its_classes() -> None:
    scores = np.array([0.01, 0.2, 0.6, 0.9])
    assert choose_threshold(scores, scores > 0.5, "youden") == pytest.approx(0.4)
    assert choose_threshold(scores, scores > 0.5, "sensitivity=1") == pytest.approx(0.4)
