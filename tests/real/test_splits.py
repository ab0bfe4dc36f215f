"""Splits and trivial baselines on real X-rays: NIH ChestX-ray8."""

import csv
from pathlib import Path

import numpy as np
import pytest

from cxr.data.duplicates import group_near_duplicates
from cxr.data.images import fit_square, make_thumbnail, read_gray
from cxr.data.labels import Vocabulary
from cxr.data.splits import merge_groups, split_by_group
from cxr.ingest.baselines import measure_baselines

NIH = Path(__file__).parents[2].parent / "shared" / "data" / "nih-cxr"


def test_shortcuts_of_the_nih_set_are_seen():
    """AUC of ridge on 32x32 pixels: 0.82 on average over splits by patient, 0.75 to 0.87, with scikit-learn alone."""
    if not NIH.is_dir():
        pytest.skip(f"the NIH pictures are not in {NIH}")
    with (NIH / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
    thumbnails = np.stack(
        [make_thumbnail(fit_square(read_gray((NIH / row["file"]).read_bytes()), 128, "keep")) for row in rows]
    )
    findings, patients = [row["label"] for row in rows], [row["patient_id"] for row in rows]
    vocabulary = Vocabulary(("normal", "pneumonia"), exclusive=True)
    labels = np.array([[finding == name for name in vocabulary.findings] for finding in findings], np.float32)
    near = group_near_duplicates(thumbnails)
    groups = merge_groups(patients, near)
    views = [row["view"] for row in rows]
    aucs, view_accuracies = [], []
    for seed in range(8):
        split = split_by_group([*zip(findings, strict=True)], groups, seed=seed)
        assert len(set(zip(patients, split.split, strict=True))) == len(set(patients)) == 531
        rng = np.random.default_rng(seed)
        _, view, ridge = measure_baselines(thumbnails, labels, vocabulary, views, groups.tolist(), split.split, rng)
        aucs.append(ridge.auc)
        view_accuracies.append(view.accuracy)
    assert 0.78 < np.mean(aucs) < 0.9
    assert 0.55 < np.mean(view_accuracies) < 0.72
    assert len(set(near.tolist())) == len(rows)
