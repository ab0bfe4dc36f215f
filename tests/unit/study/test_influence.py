"""Components against plain formulas of the papers, scikit-learn, and leaving patients out."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from torchmetrics.functional.classification import multiclass_calibration_error

from cxr.classify.operating_point import OperatingPoint
from cxr.study.influence import against_others, auroc, measure, ratio
from cxr.study.results import METRICS

read = OperatingPoint().read  # as a network gives them


def plain_delong(first: np.ndarray, second: np.ndarray, shown: np.ndarray) -> float:
    """Covariance of two AUROCs by DeLong et al. 1988, eq. 5 and 6, pair by pair."""
    found = 0.0
    structural = []
    for scores in (first, second):
        positive, negative = scores[shown], scores[~shown]
        wins = np.array([[(x > y) + 0.5 * (x == y) for y in negative] for x in positive])
        structural.append((wins.mean(axis=1), wins.mean(axis=0)))
    for own, other in zip(*structural, strict=True):
        found += np.cov(own, other)[0, 1] / len(own)
    return found


def plain_obuchowski(scores: np.ndarray, shown: np.ndarray, patients: np.ndarray) -> float:
    """Variance of an AUROC with clustered pictures: Obuchowski 1997, eq. 2 to 5."""
    positive, negative = scores[shown], scores[~shown]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    theta, m, n = wins.mean(), len(positive), len(negative)
    sick, well = (
        np.array([(values[patients[rows] == patient] - theta).sum() for patient in np.unique(patients)])
        for values, rows in ((wins.mean(axis=1), shown), (wins.mean(axis=0), ~shown))
    )
    counts = [len(np.unique(patients[rows])) for rows in (shown, ~shown, shown | True)]
    s10, s01 = (c / ((c - 1) * k) * (x**2).sum() for c, k, x in zip(counts, (m, n), (sick, well), strict=False))
    s11 = counts[2] / (counts[2] - 1) * (sick * well).sum()
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def drawn(seed: int, pictures: int = 90, patients: int = 90, classes: int = 2):
    """Probabilities with ties, labels, patients."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, pictures - classes)])
    sure = rng.integers(1, 12, (pictures, classes)) + 4 * np.eye(classes, dtype=int)[labels]
    owners = np.arange(pictures) if patients == pictures else rng.integers(0, patients, pictures)
    return sure / sure.sum(axis=1, keepdims=True), labels, np.unique(owners, return_inverse=True)[1]


def test_an_auroc_of_four_pictures_by_hand():
    """Three of four pairs are in order; DeLong's variance is 0.125 / 2 + 0.125 / 2."""
    found = auroc(np.array([0.8, 0.4, 0.6, 0.2]), np.array([True, True, False, False]), np.arange(4))
    assert found.value == 0.75
    assert np.square(found.components).sum() == pytest.approx(0.125)
    assert found.components.sum() == pytest.approx(0)


def test_influence_give_delongs_variances_and_covariances():
    (first, labels, patients), (second, _, _) = drawn(1), drawn(2)
    shown = labels == 1
    found = [auroc(scores[:, 1], shown, patients).components for scores in (first, second)]
    for one, scores in enumerate((first, second)):
        for other, others in enumerate((first, second)):
            expected = plain_delong(scores[:, 1], others[:, 1], shown)
            assert found[one] @ found[other] == pytest.approx(expected, rel=1e-9)


def test_several_pictures_of_a_patient_give_obuchowskis_variance():
    scores, labels, patients = drawn(3, pictures=300, patients=80)
    found = auroc(scores[:, 1], labels == 1, patients).components
    expected = plain_obuchowski(scores[:, 1], labels == 1, patients)
    assert found @ found == pytest.approx(expected, rel=0.01)
    alone = auroc(scores[:, 1], labels == 1, np.arange(300)).components
    assert found @ found != pytest.approx(alone @ alone, rel=0.03)


@pytest.mark.parametrize("classes", [2, 5])
def test_figures_are_scikit_learns(classes: int):
    scores, labels, patients = drawn(4, classes=classes)
    named, how = scores.argmax(axis=1), {"average": "binary" if classes == 2 else "macro"}
    found = {name: figure.value for name, figure in measure(read(scores), labels, patients).items()}
    assert tuple(found) == METRICS
    one_hot = labels[:, None] == np.arange(classes)
    specificities = [recall_score(labels != number, named != number) for number in range(classes)]
    assert found["auroc"] == pytest.approx(roc_auc_score(one_hot[:, -1] if classes == 2 else one_hot,
                                                         scores[:, 1] if classes == 2 else scores))  # fmt: skip
    assert found["accuracy"] == pytest.approx((named == labels).mean())
    assert found["f1"] == pytest.approx(f1_score(labels, named, **how))
    assert found["sensitivity"] == pytest.approx(recall_score(labels, named, **how))
    assert found["specificity"] == pytest.approx(specificities[1] if classes == 2 else np.mean(specificities))
    given = torch.from_numpy(scores), torch.from_numpy(labels)
    assert found["calibration_error"] == pytest.approx(multiclass_calibration_error(*given, classes).item(), abs=1e-6)
    precision = against_others(read(scores), labels, patients, 1)["precision"].value
    assert precision == pytest.approx(precision_score(labels == 1, named == 1))


def test_calibration_error_by_hand():
    """Two pictures at 0.9, one of them right; two at 0.6, both right: (|1.8 - 1| + |1.2 - 2|) / 4."""
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    found = measure(read(scores), np.array([0, 1, 1, 1]), np.arange(4))["calibration_error"]
    assert found.value == pytest.approx(0.4)


def test_influence_are_what_leaving_each_patient_out_shows():
    """The jackknife's variance, of which these are the linear part."""
    scores, labels, patients = drawn(5, pictures=900, patients=300, classes=3)
    count = patients.max() + 1
    kept = [patients != patient for patient in range(count)]
    left = [measure(read(scores[k]), labels[k], np.unique(patients[k], return_inverse=True)[1]) for k in kept]
    for metric, figure in measure(read(scores), labels, patients).items():
        jackknife = (count - 1) * np.var([one[metric].value for one in left])
        assert figure.components @ figure.components == pytest.approx(jackknife, rel=0.03), metric


def test_a_class_that_is_never_named_has_precision_0():
    found = ratio(np.zeros(4, bool), np.zeros(4, bool), np.arange(4))
    assert (found.value, found.components.tolist()) == (0.0, [0.0] * 4)
