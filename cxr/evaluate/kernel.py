"""Kernel distance: the unbiased squared MMD of a cubic kernel (Bińkowski et al. 2018, arXiv:1801.01401).

Only with the features of `inception` is it the field's KID, which is usually averaged over random subsets; here it is
computed once over all samples, so nothing is drawn.
"""

import numpy as np

from cxr.evaluate.samples import as_pair

BLOCK = 1024  # rows of a kernel matrix in memory at once


def kernel_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Between features [N, d] and [M, d]. Unbiased, so negative about half the time for two draws of one distribution.

    Raises:
        BadInput: fewer than two samples on a side, or features that are not finite.
    """
    real, synthetic = as_pair(real, synthetic)
    n, m = len(real), len(synthetic)
    within = _others(real) / (n * (n - 1)) + _others(synthetic) / (m * (m - 1))
    return within - 2 * _total(real, synthetic) / (n * m)


def _total(x: np.ndarray, y: np.ndarray) -> float:
    """The sum of (x_i . y_j / d + 1)^3 over all i, j."""
    d = x.shape[1]
    blocks = ((i, j) for i in range(0, len(x), BLOCK) for j in range(0, len(y), BLOCK))
    return float(sum(((x[i : i + BLOCK] @ y[j : j + BLOCK].T / d + 1) ** 3).sum() for i, j in blocks))


def _others(x: np.ndarray) -> float:
    """The same of one set with itself, without each sample with itself."""
    return _total(x, x) - float(((np.square(x).sum(axis=1) / x.shape[1] + 1) ** 3).sum())
