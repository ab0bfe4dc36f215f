import numpy as np

from cxr.classify.best_of import count_steps, train_best_of
from cxr.classify.task import OneFinding


def bars(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright bar on the left or on the right."""
    rng = np.random.default_rng(seed)
    pixels, labels = rng.integers(0, 90, (count, 32, 32), dtype=np.uint8), rng.integers(2, size=count)
    for picture, label in zip(pixels, labels, strict=True):
        picture[:, 20 * label : 20 * label + 10] += 100
    return pixels, labels


def test_names_new_pictures_the_same_each_time_and_counts_its_steps():
    heard = []
    first = train_best_of(bars(40, 0), bars(20, 1), OneFinding(2), 7, lambda: heard.append(1))
    pixels, labels = bars(40, 2)
    assert (first(pixels).argmax(axis=1) == labels).mean() > 0.9 and len(heard) == count_steps(40)
    assert np.array_equal(train_best_of(bars(40, 0), bars(20, 1), OneFinding(2), 7)(pixels), first(pixels))
