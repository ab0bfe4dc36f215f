"""Precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020,
arXiv:2002.09797): whether synthetic pictures lie where real ones do, and whether they lie everywhere that real ones do.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from cxr.evaluate.samples import as_pair, as_samples

BLOCK = 512  # rows of a distance matrix in memory at once
ROUNDING = 1e-13  # of products in float64, in parts of the squared lengths of two samples


def prdc(real: np.ndarray, synthetic: np.ndarray, k: int = 5) -> dict[str, float]:
    """Of features [N, d] and [M, d]: precision, the share of synthetic samples within a real ball; recall, of real ones
    within a synthetic ball; density, the mean number of real balls around a synthetic sample, over k (1 on average for
    one distribution); coverage, the share of real balls that hold a synthetic sample.

    A ball reaches, open, from a sample to its k-th nearest other, as in Naeem et al.'s code. All depend on both sizes:
    compare only sets of the same.

    Raises:
        BadInput: no more than k samples on a side, or features that are not finite.
    """
    real, synthetic = as_pair(real, synthetic, least=k + 1)
    x, y = (torch.from_numpy(samples) for samples in (real, synthetic))
    real_reach, synthetic_reach = _reach(x, k), _reach(y, k)
    around = torch.zeros(len(y))  # real balls around each synthetic sample
    recalled = covered = 0
    for rows, distances in _blocks(x, y):
        inside = distances < real_reach[rows, None]
        around += inside.sum(dim=0)
        covered += int(inside.any(dim=1).sum())
        recalled += int((distances < synthetic_reach).any(dim=1).sum())
    return {
        "precision": int((around > 0).sum()) / len(y),
        "recall": recalled / len(x),
        "density": float(around.double().mean()) / k,
        "coverage": covered / len(x),
    }


def densities(real: np.ndarray, synthetic: np.ndarray, k: int = 5) -> np.ndarray:
    """float [M]: for each synthetic sample the number of real balls around it, over k; their mean is the density."""
    real, synthetic = as_pair(real, synthetic, least=k + 1)
    x, y = (torch.from_numpy(samples) for samples in (real, synthetic))
    reach, around = _reach(x, k), torch.zeros(len(y))
    for rows, distances in _blocks(x, y):
        around += (distances < reach[rows, None]).sum(dim=0)
    return (around / k).double().numpy()


def nearest_distances(samples: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    """float [N]: from each of features [N, d] to the nearest of `others` [M, d], or to its own nearest other."""
    if others is None:
        return _reach(torch.from_numpy(as_samples(samples)), 1).double().numpy()
    x, y = (torch.from_numpy(features) for features in as_pair(samples, others, least=1))
    return torch.cat([distances.amin(dim=1) for _, distances in _blocks(x, y)]).double().numpy()


def distances_to_others(samples: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """float [N]: from each of features [N, d] to the nearest of another group, infinite where there is none.

    Args:
        groups: [N], whose each is.
    """
    x = torch.from_numpy(as_samples(samples))
    numbers = torch.from_numpy(np.unique(groups, return_inverse=True)[1])
    found = [d.where(numbers[rows, None] != numbers, torch.inf).amin(dim=1) for rows, d in _blocks(x, x)]
    return torch.cat(found).double().numpy()


def _reach(x: Tensor, k: int) -> Tensor:
    """Distance of each sample to its k-th nearest other: the (k + 1)-th smallest, as the smallest is its own."""
    return torch.cat([distances.kthvalue(k + 1, dim=1).values for _, distances in _blocks(x, x)])


def _blocks(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some rows of x and their distances float32 to all of y, by products of float64 samples: 20 times as fast as by
    differences. Their rounding would make equal samples lie apart and a distance depend on the block: so what is no
    more than rounding is 0, and float32 drops the rest."""
    lengths, others = x.square().sum(dim=1), y.square().sum(dim=1)
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        sums = lengths[rows, None] + others
        squared = torch.addmm(sums, x[rows], y.T, alpha=-2)
        yield rows, squared.where(squared > ROUNDING * sums, 0).sqrt().float()
