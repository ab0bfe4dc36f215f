import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from cxr.data.labels import Vocabulary
from cxr.ingest.baselines import RIDGE, VIEW, measure_baselines

N = 240
BINARY, SEVERAL = Vocabulary(("normal", "pneumonia"), True), Vocabulary(("edema", "nodule"), False)


def columns(seed: int = 0):
    rng = np.random.default_rng(seed)
    findings = np.array(["normal", "pneumonia"])[rng.integers(2, size=N)]
    thumbnails = rng.integers(90, 160, (N, 32, 32)).astype(np.uint8)
    split = ["train"] * 140 + ["validation"] * 40 + ["test"] * 60
    return thumbnails, findings.tolist(), [None] * N, list(range(N)), split, np.random.default_rng(1)


def measure(thumbnails, findings, *rest):
    labels = np.stack([np.array(findings) == name for name in BINARY.findings], axis=1).astype(np.float32)
    return measure_baselines(thumbnails, labels, BINARY, *rest)


def by_name(measured):
    return {b.name: b for b in measured}


def test_a_view_that_gives_the_finding_away_scores_all():
    thumbnails, findings, _, groups, split, rng = columns()
    views = ["AP" if f == "normal" else "PA" for f in findings]
    view = by_name(measure(thumbnails, findings, views, groups, split, rng))["view alone"]
    assert (view.accuracy, view.auc, view.accuracy_interval) == (1.0, 1.0, (1.0, 1.0))


def test_without_views_there_is_no_figure_and_noise_is_worth_chance():
    measured = by_name(measure(*columns()))
    assert measured["view alone"].accuracy is None and measured["view alone"].auc is None
    ridge = measured["ridge on 32x32"]
    assert ridge.auc_interval[0] < 0.5 < ridge.auc_interval[1]
    findings = columns()[1]
    most = max(set(findings[:140]), key=findings[:140].count)
    assert measured["majority class"].accuracy == findings[180:].count(most) / 60


def test_pixels_that_give_the_finding_away_are_seen_by_ridge():
    thumbnails, findings, views, groups, split, rng = columns()
    for picture, finding in zip(thumbnails, findings, strict=True):
        picture[:4, :4] += np.uint8(60 * (finding == "pneumonia"))
    assert by_name(measure(thumbnails, findings, views, groups, split, rng))["ridge on 32x32"].auc > 0.95


def test_the_view_alones_auc_is_scikit_learns():
    thumbnails, findings, _, groups, split, rng = columns()
    draw = np.random.default_rng(5)
    views = [("AP" if (f == "normal") != (draw.random() < 0.3) else "PA") for f in findings]
    view = by_name(measure(thumbnails, findings, views, groups, split, rng))["view alone"]
    scores = {
        v: np.mean([f == "pneumonia" for f, w in zip(findings[:140], views[:140], strict=True) if w == v])
        for v in ("AP", "PA")
    }
    expected = roc_auc_score([f == "pneumonia" for f in findings[180:]], [scores[v] for v in views[180:]])
    assert view.auc == pytest.approx(expected)


def test_intervals_are_over_patients_not_pictures():
    thumbnails, findings, _, groups, split, _ = columns()
    alone = by_name(measure(thumbnails, findings, [None] * N, groups, split, np.random.default_rng(1)))
    few = [g // 12 for g in groups]
    together = by_name(measure(thumbnails, findings, [None] * N, few, split, np.random.default_rng(1)))
    assert alone["majority class"].accuracy == together["majority class"].accuracy
    assert alone["majority class"].accuracy_interval != together["majority class"].accuracy_interval


def test_ridge_on_the_pixels_moments_is_scikit_learns():
    thumbnails, findings, views, groups, split, rng = columns()
    for picture, finding in zip(thumbnails, findings, strict=True):
        picture[:4, :4] += np.uint8(8 * (finding == "pneumonia"))
    measured = by_name(measure(thumbnails, findings, views, groups, split, rng))["ridge on 32x32"]
    pixels, sides = thumbnails.reshape(N, -1) / 255, np.where(np.array(findings) == "pneumonia", 1.0, -1.0)
    fits = [Ridge(alpha=10.0**k).fit(pixels[:140], sides[:140]) for k in range(-1, 6)]
    best = max(fits, key=lambda fit: ((fit.predict(pixels[140:180]) > 0) == (sides[140:180] > 0)).mean())
    assert measured.auc == pytest.approx(roc_auc_score(sides[180:], best.predict(pixels[180:])), abs=1e-4)


# --- several findings a picture ---


def several(seed: int = 0):
    """Edema in pictures with a bright corner and by AP view, nodule in any; some labels unknown."""
    rng = np.random.default_rng(seed)
    thumbnails, _, _, groups, split, draws = columns(seed)
    labels = rng.integers(2, size=(N, 2)).astype(np.float32)
    thumbnails[:, :4, :4] += (60 * labels[:, 0]).astype(np.uint8)[:, None, None]
    views = ["AP" if label else "PA" for label in labels[:, 0]]
    labels[::7] = np.nan
    return thumbnails, labels, SEVERAL, views, groups, split, draws


def test_a_shortcut_to_one_finding_is_seen_at_this_finding_alone():
    measured = {(b.name, b.finding): b for b in measure_baselines(*several())}
    assert {name for name, _ in measured} == {VIEW, RIDGE}
    assert measured[VIEW, "edema"].auc == 1 and measured[RIDGE, "edema"].auc > 0.95
    for name in (VIEW, RIDGE):
        low, high = measured[name, "nodule"].auc_interval
        assert low < 0.5 < high and measured[name, None].accuracy is None
        mean = (measured[name, "edema"].auc + measured[name, "nodule"].auc) / 2
        assert measured[name, None].auc == pytest.approx(mean)


def test_labels_that_are_not_known_are_left_out():
    thumbnails, labels, *rest = several()
    labels[180:, 1] = np.nan  # nothing to test the nodule on
    measured = {(b.name, b.finding): b for b in measure_baselines(thumbnails, labels, *rest)}
    assert measured[RIDGE, "nodule"].auc is None and measured[RIDGE, None].auc == measured[RIDGE, "edema"].auc > 0.95
