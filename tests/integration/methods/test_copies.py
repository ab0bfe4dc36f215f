"""Copies planted among phantoms are found, and phantoms of other patients are not taken for copies."""

import cv2
import numpy as np
import pytest

from cxr.detectors.details import TrainingImageIndex
from cxr.embedded.phantoms import draw_phantom, sample_visit
from cxr.evaluate.calibration import calibrate, count_copies, count_lookups, threshold
from cxr.evaluate.sets import ImageSet
from tests.copies import COPIES as SHARED
from tests.unit.evaluate.conftest import label

COUNT = 150
FINDINGS = np.array(["a", "b"] * 30)


@pytest.fixture(scope="module")
def series() -> tuple[np.ndarray, list[str]]:
    pixels = np.stack([draw_phantom(11, number, size=128).pixels for number in range(COUNT)])
    return pixels, [sample_visit(11, number)[0].patient_id for number in range(COUNT)]


@pytest.fixture(scope="module")
def fresh() -> np.ndarray:
    """Of other patients."""
    return np.stack([draw_phantom(12, number, size=128).pixels for number in range(100)])


@pytest.fixture(scope="module")
def originals(series) -> TrainingImageIndex:
    return TrainingImageIndex(*series)


@pytest.fixture(scope="module")
def level(series, originals) -> float:
    return threshold(originals.nearest(*series).scores)


def moved(picture: np.ndarray, share: float) -> np.ndarray:
    matrix = np.float32([[1, 0, share * 128], [0, 1, -share * 128]])
    return cv2.warpAffine(picture, matrix, (128, 128), borderMode=cv2.BORDER_REPLICATE)


COPIES = SHARED | {
    "1 % aside": lambda p: moved(p, 0.01),
    "3 % aside": lambda p: moved(p, 0.03),
    "half the size": lambda p: cv2.resize(p, (64, 64), interpolation=cv2.INTER_AREA),
}


@pytest.mark.parametrize("copy", COPIES)
def test_at_least_95_percent_of_copies_are_found_and_named(series, originals, level, copy: str):
    rows = np.random.default_rng(0).choice(COUNT, 40, replace=False)
    found = originals.nearest(np.stack([COPIES[copy](picture) for picture in series[0][rows]]))
    hits = (found.scores > level) & (found.rows == rows)
    assert hits.mean() >= 0.95
    assert found.mirrored[hits].mean() == (copy == "mirrored")


def test_new_patients_are_taken_for_copies_in_about_1_percent(originals, level, fresh):
    assert (originals.nearest(fresh).scores > level).mean() <= 0.04


def test_flat_and_dark_pictures_are_no_copies(originals, level):
    dark = np.clip(np.random.default_rng(0).normal(3, 0.4, (128, 128)), 0, 255)
    flat = np.stack([np.zeros((128, 128)), np.full((128, 128), 77), dark]).astype(np.uint8)
    assert (originals.nearest(flat).scores < 0.5).all()


def test_pictures_of_the_own_patient_are_left_out(series, originals):
    pixels, patients = series
    found = originals.nearest(pixels[:20], patients[:20])
    assert all(patients[row] != patient for row, patient in zip(found.rows, patients[:20], strict=True))
    alone = TrainingImageIndex(pixels[:3], ["one"] * 3)
    assert alone.nearest(pixels[:2], ["one"] * 2).scores.tolist() == [-1, -1]


def test_the_batch_does_not_change_what_is_found(series, originals):
    whole = originals.nearest(series[0][:9])
    parts = [originals.nearest(series[0][row : row + 1]) for row in range(9)]
    assert np.allclose(whole.scores, [part.scores[0] for part in parts], atol=1e-5)
    assert whole.rows.tolist() == [part.rows[0] for part in parts]


def test_one_in_a_hundred_is_above_the_threshold_and_less_than_a_hundred_are_refused():
    scores = np.linspace(0, 1, 1000)
    assert (scores > threshold(scores)).mean() <= 0.01
    with pytest.raises(ValueError, match="99 scores"):
        threshold(np.zeros(99))


def as_pictures(name: str, pixels: np.ndarray, patients: list[str] | None = None, train: float = 1.0) -> ImageSet:
    ids = np.array([f"{name}{row}" for row in range(len(pixels))])
    splits = np.where(np.arange(len(pixels)) < train * len(pixels), "train", "test")
    findings = np.array(["a", "b"] * (len(ids) // 2))
    return ImageSet(ids, label(findings), findings, np.array(patients or ids), splits, pixels.__getitem__)


def test_a_set_with_planted_copies_is_told_from_one_without(series, fresh):
    pixels, patients = series
    real = as_pictures("real", pixels, patients, train=0.8)  # three pictures a patient: 120 are whole patients
    copied = [3, 3, 7, 8, 90, 91, 110, 9, 10, 11]
    planted = np.concatenate([fresh[:50], [moved(picture, 0.02) for picture in pixels[copied]]])
    heard: list[int] = []
    known = calibrate(real, 500, np.random.default_rng(0), heard.append)
    found = known.index.nearest(planted)
    copies = count_copies(known, label(FINDINGS), found)
    assert set(np.flatnonzero(found.scores > copies.threshold)) >= set(range(50, 60))
    assert found.rows[50:].tolist() == copied
    assert len(known.unrelated) == copies.calibrated_on == 120 and (known.unrelated > copies.threshold).mean() <= 0.01
    assert copies.beyond_chance and 10 <= copies.rate.count <= 12 and 9 <= copies.copied <= 11
    assert copies.findings["a"].total == 30 and copies.originals == 120 and copies.held_out.total == 30
    assert copies.patients_known and copies.same_patient.total == 120
    assert sum(heard) == count_lookups(real, 500) == 120 + 30
    assert not count_copies(known, label(FINDINGS), known.index.nearest(fresh[:60])).beyond_chance


def test_without_patients_and_held_out_pictures_it_says_so(series):
    real = as_pictures("real", series[0])
    known = calibrate(real, 150, np.random.default_rng(0))
    copies = count_copies(known, label(FINDINGS[:10]), known.index.nearest(series[0][:10]))
    assert (copies.held_out, copies.same_patient, copies.patients_known) == (None, None, False)
    assert copies.calibrated_on == 150 and copies.rate.share == 1
