"""A model that shows what is asked, one that does not read, and a classifier that errs."""

import numpy as np
import pytest

from cxr.pretrain import combinations
from cxr.pretrain.combinations import Combinations, combinations_table, labels_of, measure_combinations
from cxr.prompts.findings import SEVERAL, Attributes, Sign

WORDS = {"cardiomegaly": "heart cardio", "effusion": "effusion", "nodule": "nod"}


def picture_of(shown) -> np.ndarray:
    """Pixel i is white where finding i is there."""
    pixels = np.zeros((8, 8), np.uint8)
    pixels[0, : len(SEVERAL)] = 255 * np.asarray(shown)
    return pixels


def see(pictures: np.ndarray) -> np.ndarray:
    return pictures[:, 0, : len(SEVERAL)] / 255


def reads(prompts, seeds) -> np.ndarray:
    """A model that finds the words in its prompts."""
    shown = [[any(word in prompt.casefold() for word in WORDS[name].split()) for name in SEVERAL] for prompt in prompts]
    return np.stack([picture_of(row) for row in shown])


def ignores(prompts, seeds) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([picture_of(rng.random(3) < 0.5) for _ in prompts])


@pytest.fixture(scope="module")
def fresh() -> tuple[np.ndarray, np.ndarray]:
    labels = np.random.default_rng(1).random((200, 3)) < 0.5
    return np.stack([picture_of(row) for row in labels]), labels


def test_a_model_that_reads_shows_what_is_asked_and_nothing_else(fresh):
    found = measure_combinations(reads, see, fresh, SEVERAL, per_combination=20, seed=0)
    assert found.asked.sum(axis=0).tolist() == [80] * 3
    for name in SEVERAL:
        assert found.accuracy(name, asked=True).right == pytest.approx(1, abs=0.05)
        assert found.accuracy(name, asked=False).right == pytest.approx(0, abs=0.15)
    assert found.all_right > 0.8 and found.auroc == (1.0, 1.0, 1.0)


def test_a_model_that_does_not_read_shows_it_as_often_whether_asked_or_not(fresh):
    found = measure_combinations(ignores, see, fresh, SEVERAL, per_combination=100, seed=0)
    for name in SEVERAL:
        assert abs(found.share(name, asked=True) - found.share(name, asked=False)) < 0.1
    assert found.all_right == pytest.approx(1 / 8, abs=0.04)


def test_the_classifiers_errors_are_allowed_for(fresh):
    """It sees a finding in 9 of 10 phantoms that have it and in 1 of 10 that have not: 82 of 100 seen are 90 there."""
    fresh_truth = np.repeat([[True], [False]], 100, axis=0)
    fresh_seen = np.concatenate([np.arange(100) < 90, np.arange(100) < 10])[:, None]
    asked, seen = np.ones((100, 1), bool), (np.arange(100) < 82)[:, None]
    found = Combinations(
        ("nodule",), np.vstack([asked, ~asked]), np.vstack([seen, ~asked]), fresh_truth, fresh_seen, (0.97,)
    )
    assert found.accuracy("nodule", asked=True).right == pytest.approx(0.9)
    assert found.accuracy("nodule", asked=False).right == 0.0
    row = combinations_table(found).splitlines()[2]
    assert row.startswith("| nodule | 82 of 100 (82%) | about 90% | 0 of 100 (0%) | about 0% |")


def test_labels_are_what_the_pictures_show():
    shown = [Attributes((Sign("Structural_Lesions", "nodule"),), "PA", "F", 50), Attributes((), "PA", "F", 50)]
    assert labels_of(shown, SEVERAL).tolist() == [[False, False, True], [False] * 3]


def test_a_small_finding_anywhere_in_the_picture_is_learned(monkeypatch):
    monkeypatch.setattr(combinations, "STEPS", 120)

    def part(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Noise of 32 pixels a side, in half of which is a dot of two."""
        rng = np.random.default_rng(seed)
        pixels, labels = rng.integers(60, 100, (count, 32, 32), np.uint8), rng.random((count, 1)) < 0.5
        for row in np.flatnonzero(labels).tolist():
            y, x = rng.integers(30, size=2)
            pixels[row, y : y + 2, x : x + 2] = 160
        return pixels, labels

    pixels, labels = part(1, 200)
    see = combinations.train_multi_label(part(0, 400), part(2, 400), seed=0)
    assert ((see(pixels) > 0.5) == labels).mean() > 0.95
