"""Which planted copies each detector finds among phantoms, and that both together miss few: AUDIT's table in small."""

import numpy as np
import pytest

from cxr.audit.planted import COPIES

BY_NEITHER = {
    "middle 25 % pasted",
    "blended 0.5",
    "blurred 3 px",
    "warped 6 px",
}  # phantoms are that much alike
BY_SOME = {"warped 4 px", "half", "histogram equalised"}  # half of them at least
QUICK = {
    "the same",
    "shifted 6 px",
    "noise 20",
    "turned 10 degrees",
    "inverted",
    "half",
    "cropped 20 %",
}  # of all kinds
COUNT = 4


@pytest.fixture(scope="module")
def detectors(real):
    from cxr.detectors.details import TrainingImageIndex
    from cxr.detectors.keypoints import KeyPointIndex

    train = real.rows("train")
    details = TrainingImageIndex(real.pixels[train], real.patients[train].tolist())
    return details, KeyPointIndex(real.pixels[train], np.random.default_rng(0))


@pytest.fixture(scope="module")
def thresholds(detectors, real) -> list[float]:
    """That no test picture is above."""
    return [search(detector, real.pixels[real.rows("test")]).scores.max() for detector in detectors]


def search(detector, pixels: np.ndarray):
    return detector.nearest(pixels, advance=lambda count: None)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in COPIES if kind not in BY_NEITHER],
)
def test_a_planted_copy_is_found_with_its_original(real, detectors, thresholds, kind: str):
    rng = np.random.default_rng(1)
    train, test = real.rows("train"), real.rows("test")
    rows = rng.choice(len(train), COUNT, replace=False)
    copies = np.stack([COPIES[kind](real.pixels[train[row]], real.pixels[rng.choice(test)], rng) for row in rows])
    hits = [(found.rows == rows) & (found.scores > level)
            for found, level in zip((search(one, copies) for one in detectors), thresholds, strict=True)]  # fmt: skip
    assert np.any(hits, axis=0).sum() >= (COUNT / 2 if kind in BY_SOME else COUNT - 1), hits


def test_other_patients_are_not_taken_for_copies(detectors, thresholds, phantoms):
    for detector, level in zip(detectors, thresholds, strict=True):
        assert (search(detector, phantoms[1]).scores > level).mean() <= 0.15  # of 24, by 20 test pictures' highest


def test_over_draws_of_test_patients_the_share_of_others_above_is_as_asked(detectors, real, phantoms):
    from cxr.audit.duplicates import set_levels

    strangers = np.concatenate([real.pixels[real.rows("test")], phantoms[1]])
    half, rng = len(strangers) // 2, np.random.default_rng(2)
    for detector, correlations in zip(detectors, (True, False), strict=True):
        scores, shares = search(detector, strangers).scores, []
        for _ in range(200):
            controls, others = np.split(rng.permutation(scores), [half])
            levels = set_levels(controls, 0.1, len(others), 0.01, correlations)
            shares.append((others > levels.threshold).mean())
        asked, error = levels.rank / (half + 1), np.std(shares) / len(shares) ** 0.5
        assert np.mean(shares) <= asked + 2.5 * error, (np.mean(shares), asked)
        assert not correlations or np.mean(shares) >= asked - 2.5 * error  # of counts, equal ones are not above


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_a_picture_of_the_same_size_and_follows_from_its_random_numbers(phantoms, kind: str):
    picture, other = phantoms[0][:2]
    one, same = (COPIES[kind](picture, other, np.random.default_rng(5)) for _ in range(2))
    assert one.shape == picture.shape and one.dtype == np.uint8 and np.array_equal(one, same)
