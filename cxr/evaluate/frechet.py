"""Fréchet distance between Gaussians fitted to features (Heusel et al. 2017, arXiv:1706.08500, eq. 6).

Only with the features of `inception` is it the field's FID.
"""

from dataclasses import dataclass

import numpy as np

from cxr.errors import BadInput
from cxr.evaluate.samples import as_pair, as_samples


@dataclass(frozen=True)
class Moments:
    """Sums over any part of a set, float64; the parts' moments add up to the set's (as in NVlabs/edm2)."""

    count: int
    total: np.ndarray  # [d]
    outer: np.ndarray  # [d, d], the sum of x x^T

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.outer + other.outer)


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution fitted to `count` samples. The covariance (of N - 1) is factor^T factor."""

    count: int
    mean: np.ndarray  # float64 [d]
    factor: np.ndarray  # float64 [r, d], r at most d


def moments(features: np.ndarray) -> Moments:
    """Of features [N, d], N at least 1. Raises `BadInput` for features that are not finite."""
    x = as_samples(features, least=1)
    return Moments(len(x), x.sum(axis=0), x.T @ x)


def gaussian(features: np.ndarray) -> Gaussian:
    """Fitted to features [N, d] without squaring them: digits that `Moments` loses stay.

    Raises:
        BadInput: fewer than two samples, or features that are not finite.
    """
    import torch

    x = as_samples(features)
    mean = x.mean(axis=0)
    factor = x - mean
    if len(x) > len(mean):
        factor = torch.linalg.qr(torch.from_numpy(factor), mode="r").R.numpy()  # numpy's takes 1.7 times as long
    return Gaussian(len(x), mean, factor / np.sqrt(len(x) - 1))


def gaussian_of(sums: Moments) -> Gaussian:
    """Fitted to moments; `BadInput` where they are of fewer than two samples."""
    if sums.count < 2:
        raise BadInput(f"features: of {sums.count} pictures, where a Fréchet distance needs 2 at least; give more")
    mean = sums.total / sums.count
    covariance = (sums.outer - np.outer(mean, mean) * sums.count) / (sums.count - 1)
    values, vectors = np.linalg.eigh(covariance)
    kept = values > values[-1] * len(mean) * np.finfo(float).eps  # the others are rounding errors, of either sign
    return Gaussian(sums.count, mean, np.sqrt(values[kept])[:, None] * vectors.T[kept])


def frechet(a: Gaussian, b: Gaussian) -> float:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^1/2), symmetric and never negative.

    With S = F^T F the last trace is the sum of the singular values of F_a F_b^T: no square root of a nearly singular
    product is taken, and few samples in many dimensions make small matrices.
    """
    import torch

    shared = torch.linalg.svdvals(torch.from_numpy(a.factor @ b.factor.T)).sum().item()
    spread = np.square(a.factor).sum() + np.square(b.factor).sum() - 2 * shared
    return max(0.0, float(np.square(a.mean - b.mean).sum() + spread))


def frechet_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Between features [N, d] and [M, d], squared; far too high where a side has no more than d samples.

    Raises:
        BadInput: fewer than two samples on a side, or features that are not finite.
    """
    real, synthetic = as_pair(real, synthetic)
    return frechet(gaussian(real), gaussian(synthetic))


def extrapolated(real: np.ndarray, synthetic: np.ndarray, rng: np.random.Generator, sizes: int = 15) -> float:
    """The distance that infinitely many synthetic samples would have: distances of random parts of them follow a line
    over 1 / size, which is read at 0 (FID infinity, Chong and Forsyth 2020, arXiv:1911.07023, section 4).

    Can be negative. What the real set's own size adds stays in it, as in the paper.
    """
    real, synthetic = as_pair(real, synthetic)
    fixed = gaussian(real)
    counts = np.linspace(max(2, len(synthetic) // 3), len(synthetic), sizes).astype(int)
    distances = [frechet(fixed, gaussian(rng.choice(synthetic, count, replace=False))) for count in counts]
    return float(np.polynomial.Polynomial.fit(1 / counts, distances, 1)(0.0))
