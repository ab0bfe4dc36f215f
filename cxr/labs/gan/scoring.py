"""What generated pictures show: named by LeNet-5, checked by their nearest neighbours, and whether they collapsed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import entropy
from sklearn.neighbors import KNeighborsClassifier

from cxr.labs.gan.lenet import predict
from cxr.labs.gan.networks import LeNet5
from cxr.labs.gan.real import Real

SEEN = 0.01  # share of the pictures from which on a class counts as there
LEAST_CLASSES = 0.8  # share of the classes: two of ten may be missing, and the card names them
LEAST_ENTROPY = 0.5  # share of the train part's
LEAST_DIFFERENCE = 0.5  # share of the train part's 1 - MS-SSIM

Similar = Callable[[np.ndarray, int], float]  # uint8 [N, H, W] and a seed to their mean MS-SSIM, in pairs


@dataclass(frozen=True)
class Scores:
    """Of generated pictures; a similarity is the mean over the classes of the mean MS-SSIM of pairs within one."""

    predicted: np.ndarray  # class numbers int [N], by LeNet-5
    confidence: np.ndarray  # float32 [N], its probability of that class
    counts: list[int]  # pictures named each class
    asked_agreement: float | None  # share named what was asked for; None where nothing was
    neighbour_agreement: float  # share whose nearest train picture is of the class that they are named
    real_neighbour_agreement: float  # the same share of real test pictures: a reference
    similarity: float | None  # None where no class has two pictures
    real_similarity: float | None
    collapsed: list[str]  # why; empty if they have not


def score_images(pixels: np.ndarray, asked: np.ndarray | None, lenet: LeNet5, real: Real, similar: Similar) -> Scores:
    """Of generated pictures, uint8 [N, 28, 28].

    Args:
        asked: class numbers int [N] of a conditional generator, or None.
    """
    (train, labels), (test, _) = real.part("train"), real.part("test")
    test = test[: len(pixels)]
    probabilities, classes = predict(lenet, pixels), len(real.classes)
    predicted = probabilities.argmax(axis=1)
    neighbours = KNeighborsClassifier(1, algorithm="brute").fit(flat(train), labels)
    near, real_near = (neighbours.predict(flat(each)) for each in (pixels, test))
    alike, real_alike = within(pixels, predicted, similar), within(train, labels, similar)
    counts = np.bincount(predicted, minlength=classes)
    return Scores(
        predicted, probabilities.max(axis=1), counts.tolist(),
        None if asked is None else share(predicted == asked),
        share(near == predicted), share(real_near == predict(lenet, test).argmax(axis=1)),
        alike, real_alike, explain_collapse(counts, real.counts, alike, real_alike),
    )  # fmt: skip


def share(hits: np.ndarray) -> float:
    return float(hits.mean())


def flat(pixels: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W] to float32 [N, H W]."""
    return pixels.reshape(len(pixels), -1).astype(np.float32)


def within(pixels: np.ndarray, labels: np.ndarray, similar: Similar) -> float | None:
    """The mean similarity of pictures of one class, each class alike."""
    groups = [(number, pixels[labels == number]) for number in np.unique(labels)]
    found = [similar(group, int(number)) for number, group in groups if len(group) > 1]
    return float(np.mean(found)) if found else None


def explain_collapse(
    counts: np.ndarray, real_counts: np.ndarray, alike: float | None = None, real_alike: float | None = None
) -> list[str]:
    """Why pictures count as collapsed, a line each.

    Args:
        counts: generated pictures named each class; `real_counts` those of the train part.
        alike: similarity within classes; `real_alike` that of the train part.
    """
    expected = real_counts >= SEEN * real_counts.sum()
    there, classes = int((counts[expected] >= SEEN * counts.sum()).sum()), int(expected.sum())
    held, wanted = entropy(counts), entropy(real_counts)
    reasons = []
    if there < LEAST_CLASSES * classes:
        reasons.append(f"only {there} of {classes} classes have {SEEN:.0%} of the pictures or more")
    if held < LEAST_ENTROPY * wanted:
        reasons.append(f"the classes' entropy is {held:.2f} nats, the train part's {wanted:.2f}")
    if alike is not None and real_alike is not None and 1 - alike < LEAST_DIFFERENCE * (1 - real_alike):
        reasons.append(f"pictures of a class are alike: mean MS-SSIM {alike:.2f}, in the train part {real_alike:.2f}")
    return reasons
