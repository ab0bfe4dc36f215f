import numpy as np

from cxr.embedded.phantoms import draw_phantom
from cxr.pretrain.appearance import vary_appearance


def test_another_look_of_the_same_picture_and_the_same_look_from_the_same_seed():
    pictures = np.stack([draw_phantom(0, number).pixels for number in range(20)])
    other = vary_appearance(pictures, np.random.default_rng(1))
    assert other.shape == pictures.shape and other.dtype == np.uint8
    assert np.array_equal(other, vary_appearance(pictures, np.random.default_rng(1)))
    assert not np.array_equal(other, vary_appearance(pictures, np.random.default_rng(2)))
    assert likeness(pictures, other) > likeness(pictures, np.roll(other, 1, axis=0)) + 0.1
    assert np.std(other.mean(axis=(1, 2)) - pictures.mean(axis=(1, 2))) > 5  # gray levels


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Mean correlation of picture with picture."""
    return np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, second, strict=True)])
