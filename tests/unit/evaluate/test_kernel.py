import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from cxr.errors import BadInput
from cxr.evaluate import kernel
from cxr.evaluate.kernel import kernel_distance


def features(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (count, 24)).astype(np.float32)


def unbiased(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> float:
    n, m = xy.shape
    return (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1)) - 2 * xy.mean()


def test_blocks_add_up_to_the_whole_kernel_matrix_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK", 16)
    x, y = features(61, 1), features(45, 2, 0.4)
    pairs = ((x, x), (y, y), (x, y))
    expected = unbiased(*(polynomial_kernel(a.astype(float), b.astype(float), degree=3, coef0=1) for a, b in pairs))
    found = kernel_distance(x, y)
    assert found == pytest.approx(expected, rel=1e-9)


def test_agrees_with_torchmetrics():
    from torchmetrics.image.kid import poly_mmd

    x, y = features(50, 1), features(50, 2, 0.4)
    expected = float(poly_mmd(torch.from_numpy(x.astype(float)), torch.from_numpy(y.astype(float))))
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_unbiased_zero_on_average_for_one_distribution_and_growing_with_the_shift():
    same = [kernel_distance(features(40, 2 * i), features(60, 2 * i + 1)) for i in range(60)]
    assert min(same) < 0 < max(same)
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
    shifted = [kernel_distance(features(200, 1), features(200, 2, shift)) for shift in (0.1, 0.3, 0.9)]
    assert shifted == sorted(shifted) and shifted[0] > 0


def test_one_picture_is_refused():
    with pytest.raises(BadInput, match="of 1 pictures"):
        kernel_distance(features(5, 0), features(1, 1))
