"""What counts as collapsed, and figures of pictures that are known."""

import numpy as np
import pytest

from cxr.labs.gan.config import GanConfig
from cxr.labs.gan.lenet import fit_lenet
from cxr.labs.gan.scoring import explain_collapse, score_images, within

EVEN = np.full(10, 100)


@pytest.mark.parametrize(
    ("counts", "alike", "told"),
    [
        (EVEN, (0.5, 0.5), []),
        ([1000, *[0] * 9], None, ["only 1 of 10 classes have 1% of the pictures", "entropy is 0.00 nats"]),
        ([*[143] * 6, 142, 0, 0, 0], None, ["only 7 of 10 classes"]),
        ([*[125] * 8, 0, 0], None, []),
        ([910, *[10] * 9], None, ["entropy is"]),
        (EVEN, (0.9, 0.5), ["pictures of a class are alike: mean MS-SSIM 0.90, in the train part 0.50"]),
    ],
)
def test_collapse(counts, alike, told: list[str]) -> None:
    reasons = explain_collapse(np.array(counts), EVEN, *(alike or ()))
    assert len(reasons) == len(told)
    assert all(part in reason for part, reason in zip(told, reasons, strict=True))


def test_a_set_that_is_uneven_itself_is_the_measure() -> None:
    assert explain_collapse(np.array([900, 100]), np.array([880, 120])) == []
    assert explain_collapse(np.array([505, 495, 0]), np.array([500, 495, 5])) == []
    assert explain_collapse(np.array([900, 100]), np.array([500, 500]))


def test_similarity_is_the_mean_over_classes() -> None:
    pixels, labels = np.zeros((7, 2, 2), np.uint8), np.array([0, 0, 0, 0, 2, 2, 3])
    assert within(pixels, labels, lambda group, seed: len(group)) == 3  # of 4 and 2; a class of one has no pair
    assert within(pixels[:2], labels[[0, 4]], lambda group, seed: 1.0) is None


def test_scores_of_real_pictures_and_of_one_repeated(real) -> None:
    lenet = fit_lenet(real, GanConfig(lenet_epochs=8, lenet_batch_size=16, lenet_learning_rate=5e-3), lambda f: None)
    (test, labels), similar = real.part("test"), lambda group, seed: float((group == group[0]).mean())
    good = score_images(test, labels, lenet, real, similar)
    assert good.asked_agreement == (good.predicted == labels).mean() > 0.9 and good.collapsed == []
    assert good.neighbour_agreement == good.real_neighbour_agreement and sum(good.counts) == 16
    repeated = score_images(np.repeat(test[:1], 16, axis=0), None, lenet, real, similar)
    assert repeated.asked_agreement is None and repeated.similarity == 1 and len(repeated.collapsed) == 3
