import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr.ingest.baselines import measure_baselines

N = 240


def columns(seed: int = 0):
    rng = np.random.default_rng(seed)
    findings = np.array(["normal", "pneumonia"])[rng.integers(2, size=N)]
    thumbnails = rng.integers(90, 160, (N, 32, 32)).astype(np.uint8)
    split = ["train"] * 140 + ["validation"] * 40 + ["test"] * 60
    return thumbnails, findings.tolist(), [None] * N, list(range(N)), split, np.random.default_rng(1)


def by_name(measured):
    return {b.name: b for b in measured}


def test_a_view_that_gives_the_finding_away_scores_all():
    thumbnails, findings, _, groups, split, rng = columns()
    views = ["AP" if f == "normal" else "PA" for f in findings]
    view = by_name(measure_baselines(thumbnails, findings, views, groups, split, rng))["view alone"]
    assert (view.accuracy, view.auc, view.accuracy_interval) == (1.0, 1.0, (1.0, 1.0))


def test_without_views_there_is_no_figure_and_noise_is_worth_chance():
    measured = by_name(measure_baselines(*columns()))
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
    assert by_name(measure_baselines(thumbnails, findings, views, groups, split, rng))["ridge on 32x32"].auc > 0.95


def test_the_view_alones_auc_is_scikit_learns():
    thumbnails, findings, _, groups, split, rng = columns()
    draw = np.random.default_rng(5)
    views = [("AP" if (f == "normal") != (draw.random() < 0.3) else "PA") for f in findings]
    view = by_name(measure_baselines(thumbnails, findings, views, groups, split, rng))["view alone"]
    scores = {
        v: np.mean([f == "pneumonia" for f, w in zip(findings[:140], views[:140], strict=True) if w == v])
        for v in ("AP", "PA")
    }
    expected = roc_auc_score([f == "pneumonia" for f in findings[180:]], [scores[v] for v in views[180:]])
    assert view.auc == pytest.approx(expected)


def test_intervals_are_over_patients_not_pictures():
    thumbnails, findings, _, groups, split, _ = columns()
    alone = by_name(measure_baselines(thumbnails, findings, [None] * N, groups, split, np.random.default_rng(1)))
    few = [g // 12 for g in groups]
    together = by_name(measure_baselines(thumbnails, findings, [None] * N, few, split, np.random.default_rng(1)))
    assert alone["majority class"].accuracy == together["majority class"].accuracy
    assert alone["majority class"].accuracy_interval != together["majority class"].accuracy_interval
