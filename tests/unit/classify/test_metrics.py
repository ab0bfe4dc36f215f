import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr.classify.metrics import auroc, average_precision, class_aurocs, draw_patients, resample_auroc
from cxr.classify.operating_point import OperatingPoint
from cxr.study.influence import measure


def scored(pictures: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, pictures)
    sure = rng.integers(1, 9, (pictures, classes)) + 3 * np.eye(classes, dtype=int)[labels]
    return sure / sure.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("classes", [2, 4])
def test_weights_are_repeated_pictures(classes: int):
    scores, labels = scored(60, classes)
    counts = np.random.default_rng(1).integers(0, 4, (5, 60))
    for row, found in zip(counts, class_aurocs(scores, labels, counts.astype(np.float32)).mean(axis=0), strict=True):
        repeated = np.repeat(np.arange(60), row)
        one_hot = labels[repeated, None] == np.arange(classes)
        truth, said = (one_hot[:, 1], scores[repeated, 1]) if classes == 2 else (one_hot, scores[repeated])
        assert (
            found
            == pytest.approx(roc_auc_score(truth, said))
            == pytest.approx(auroc(scores[repeated], labels[repeated]))
        )


def test_patients_are_drawn_whole_and_as_many_as_there_are():
    patients = np.array([0, 0, 0, 1, 1, 2])
    counts = draw_patients(patients, 500, np.random.default_rng(0))
    assert (counts[:, 0] == counts[:, 1]).all() and (counts[:, 3] == counts[:, 4]).all()
    assert (counts[:, [0, 3, 5]].sum(axis=1) == 3).all()
    assert counts.mean() == pytest.approx(1, abs=0.1)


def test_draws_scatter_as_the_components_say_and_are_the_same_for_every_trial():
    scores, labels = scored(800, 2)
    patients = np.arange(800) // 2
    first, again = resample_auroc([scores, scores], labels, patients, 2000, np.random.default_rng(0))
    components = measure(OperatingPoint().read(scores), labels, patients)["auroc"].components
    assert (first == again).all()
    assert first.std() == pytest.approx(np.linalg.norm(components), rel=0.08)


def test_a_draw_without_a_class_is_no_number():
    found = class_aurocs(*scored(3, 2, seed=5), np.array([[1.0, 1, 1], [0, 0, 0]]))
    assert np.isnan(found[0, 1])


NAN = float("nan")
SEVERAL = np.array([[1, 0, 0], [0, NAN, 0], [1, 0, 0], [0, 1, NAN], [NAN, 1, 0], [0, 0, 0]])  # none shows the last


def test_average_precision_leaves_out_what_is_unknown_and_needs_both_sides():
    scores = np.array([0.5, 0.9, 0.2, 0.5, 0.7, 0.1])
    assert average_precision(scores, SEVERAL[:, 0]) == pytest.approx(
        average_precision_score([1, 0, 1, 0, 0], [0.5, 0.9, 0.2, 0.5, 0.1])
    )
    assert average_precision(np.array([0.9, 0.8, 0.7]), np.array([1, 0, 1])) == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(average_precision(scores, SEVERAL[:, 2]))


def test_several_findings_of_drawn_patients_are_averaged_where_both_sides_are_there():
    rng = np.random.default_rng(0)
    scores, patients = rng.integers(0, 5, (6, 3)) / 4, np.arange(6)
    (drawn,) = resample_auroc([scores], SEVERAL, patients, 40, np.random.default_rng(1))
    for value, counts in zip(drawn, draw_patients(patients, 40, np.random.default_rng(1)), strict=True):
        rows = np.repeat(patients, counts.astype(int))
        each = []
        for column in range(3):
            known = rows[~np.isnan(SEVERAL[rows, column])]
            if len(set(SEVERAL[known, column])) == 2:
                each.append(roc_auc_score(SEVERAL[known, column], scores[known, column]))
        assert value == pytest.approx(np.mean(each) if each else NAN, nan_ok=True)
