"""Copies planted among phantoms are found, and phantoms of other patients are not taken for copies."""

import cv2
import numpy as np
import pytest

from cxr.data.phantom import appointment, phantom
from cxr.errors import BadInput
from cxr.evaluate.copies import Originals, rate, threshold

COUNT = 240


@pytest.fixture(scope="module")
def series() -> tuple[np.ndarray, list[str]]:
    pixels = np.stack([phantom(11, number, size=128).pixels for number in range(COUNT)])
    return pixels, [appointment(11, number)[0].patient_id for number in range(COUNT)]


@pytest.fixture(scope="module")
def originals(series) -> Originals:
    return Originals(*series)


@pytest.fixture(scope="module")
def level(series, originals) -> float:
    return threshold(originals.nearest(*series).scores)


def moved(picture: np.ndarray, share: float) -> np.ndarray:
    matrix = np.float32([[1, 0, share * 128], [0, 1, -share * 128]])
    return cv2.warpAffine(picture, matrix, (128, 128), borderMode=cv2.BORDER_REPLICATE)


def recompressed(picture: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 60))[1], cv2.IMREAD_GRAYSCALE)


COPIES = {
    "the same": lambda p: p,
    "1 % aside": lambda p: moved(p, 0.01),
    "3 % aside": lambda p: moved(p, 0.03),
    "less contrast": lambda p: (p * 0.6 + 50).astype(np.uint8),
    "JPEG 60": recompressed,
    "mirrored": lambda p: p[:, ::-1],
    "half the size": lambda p: cv2.resize(p, (64, 64), interpolation=cv2.INTER_AREA),
}


@pytest.mark.parametrize("copy", COPIES)
def test_at_least_95_percent_of_copies_are_found_and_named(series, originals, level, copy: str):
    rows = np.random.default_rng(0).choice(COUNT, 60, replace=False)
    found = originals.nearest(np.stack([COPIES[copy](picture) for picture in series[0][rows]]))
    hits = (found.scores > level) & (found.rows == rows)
    assert hits.mean() >= 0.95
    assert found.mirrored[hits].mean() == (copy == "mirrored")


def test_new_patients_are_taken_for_copies_in_about_1_percent(originals, level):
    fresh = np.stack([phantom(12, number, size=128).pixels for number in range(150)])
    assert (originals.nearest(fresh).scores > level).mean() <= 0.04


def test_pictures_of_the_own_patient_are_left_out(series, originals):
    pixels, patients = series
    found = originals.nearest(pixels[:20], patients[:20])
    assert all(patients[row] != patient for row, patient in zip(found.rows, patients[:20], strict=True))
    alone = Originals(pixels[:3], ["one"] * 3)
    assert alone.nearest(pixels[:2], ["one"] * 2).scores.tolist() == [-1, -1]


def test_the_batch_does_not_change_what_is_found(series, originals):
    whole = originals.nearest(series[0][:9])
    parts = [originals.nearest(series[0][row : row + 1]) for row in range(9)]
    assert np.allclose(whole.scores, [part.scores[0] for part in parts], atol=1e-5)
    assert whole.rows.tolist() == [part.rows[0] for part in parts]


def test_a_rate_comes_with_its_exact_interval():
    """Clopper and Pearson: none of 100 is 0 to 3.62 %; 5 of 100 is 1.64 to 11.28 %."""
    none, five = rate(np.zeros(100, bool)), rate(np.arange(100) < 5)
    assert (none.low, none.high) == (0, pytest.approx(0.0362, abs=1e-4))
    assert (five.share, five.low, five.high) == (0.05, *(pytest.approx(x, abs=1e-4) for x in (0.0164, 0.1128)))


def test_one_in_a_hundred_is_above_the_threshold_and_less_than_a_hundred_are_refused():
    scores = np.linspace(0, 1, 1000)
    assert (scores > threshold(scores)).mean() <= 0.01
    with pytest.raises(BadInput, match="99 training pictures; to tell copies, give 100"):
        threshold(np.zeros(99))
