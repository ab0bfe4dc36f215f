"""How alike the pictures of one set are: mean MS-SSIM (Wang et al. 2003) over random pairs; higher is less diverse."""

from dataclasses import dataclass

import numpy as np
import torch

from cxr.errors import BadInput

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of the five scales, Wang et al. 2003, section 3.2
WINDOW = 11  # px, of the Gaussian window; each coarser scale has half the pixels


@dataclass(frozen=True)
class Diversity:
    """Mean MS-SSIM of pairs with its 95 % interval, higher is less diverse."""

    value: float
    low: float
    high: float
    pairs: int
    scales: int  # 5 is the published measure; means with other numbers of scales are not comparable


def diversity(pixels: np.ndarray, pairs: np.ndarray, rng: np.random.Generator) -> Diversity:
    """Over pairs as `similarity` takes them."""
    values = similarity(pixels, pairs)
    scales = scales_for(min(pixels.shape[1:]))
    return Diversity(float(values.mean(dtype=float)), *bounds(values, pairs, rng), len(values), scales)


def similarity(pixels: np.ndarray, pairs: np.ndarray, batch: int = 32) -> np.ndarray:
    """MS-SSIM float32 [P], 1 for equal pictures, of pairs int [P, 2] of uint8 [N, H, W], as `draw_pairs` gives them.

    Raises:
        BadInput: pictures too small for one window.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

    scales = scales_for(min(pixels.shape[1:]))
    weights = tuple(beta / sum(BETAS[:scales]) for beta in BETAS[:scales])
    values = []
    for start in range(0, len(pairs), batch):
        first, second = (torch.from_numpy(pixels[side]).float()[:, None] for side in pairs[start : start + batch].T)
        values.append(ms_ssim(first, second, data_range=255.0, betas=weights, reduction="none").reshape(-1))
    return torch.cat(values).numpy()


def bounds(
    values: np.ndarray, pairs: np.ndarray, rng: np.random.Generator, resamples: int = 200
) -> tuple[float, float]:
    """The 95 % interval of the mean: a bootstrap of pictures, as pairs share them; pairs of a picture with itself that
    a draw makes are left out."""
    pictures, places = np.unique(pairs, return_inverse=True)
    first, second = places.reshape(pairs.shape).T
    means = []
    for _ in range(resamples):
        counts = rng.multinomial(len(pictures), np.full(len(pictures), 1 / len(pictures)))
        weights = counts[first] * counts[second]
        if weights.any():
            means.append(np.average(values, weights=weights))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def scales_for(side: int) -> int:
    """How many of the five scales a picture of that many pixels has room for: 5 from 176, 4 from 99 (torchmetrics asks
    for 10 (scales - 1)^2), 3 from 44, 2 from 22, 1 from 11."""
    for scales in range(len(BETAS), 0, -1):
        if side >> (scales - 1) >= WINDOW and side // max(1, scales - 1) ** 2 >= WINDOW:
            return scales
    raise BadInput(f"pictures of {side} pixels: MS-SSIM needs {WINDOW} at least; give larger ones")


def draw_pairs(count: int, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Different pairs of different rows, int [min(pairs, count (count - 1) / 2), 2], the smaller row second.

    Raises:
        BadInput: fewer than two rows.
    """
    if count < 2:
        raise BadInput(f"{count} pictures: a similarity needs two; give more")
    every = count * (count - 1) // 2
    numbers = np.sort(rng.choice(every, min(pairs, every), replace=False, shuffle=False))
    return np.stack(_unranked(numbers), axis=1)


def _unranked(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column below the diagonal of the entries counted (1, 0), (2, 0), (2, 1), (3, 0) ..."""
    row = ((1 + np.sqrt(1 + 8 * numbers.astype(float))) / 2).astype(int)
    row += (row * (row + 1) // 2 <= numbers).astype(int) - (row * (row - 1) // 2 > numbers)  # the root's rounding
    return row, numbers - row * (row - 1) // 2
