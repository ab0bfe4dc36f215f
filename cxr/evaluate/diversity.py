"""How alike the pictures of one set are: mean MS-SSIM (Wang et al. 2003) over random pairs; higher is less diverse."""

from dataclasses import dataclass

import cv2
import numpy as np

from cxr.errors import BadInput

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of the five scales, Wang et al. 2003, section 3.2
WINDOW = 11  # px, of the Gaussian window; each coarser scale has half the pixels
GAUSSIAN = cv2.getGaussianKernel(WINDOW, 1.5, cv2.CV_32F)
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


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


def similarity(pixels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """MS-SSIM float32 [P], 1 for equal pictures, of pairs int [P, 2] of uint8 [N, H, W], as `draw_pairs` gives them.

    As torchmetrics has it, but for rounding, in a tenth of its time: there the window is no product of two.

    Raises:
        BadInput: pictures too small for one window.
    """
    scales = scales_for(min(pixels.shape[1:]))
    weights = np.array(BETAS[:scales]) / sum(BETAS[:scales])
    found = [compare(pixels[a].astype(np.float32), pixels[b].astype(np.float32), scales) for a, b in pairs]
    return np.prod(np.maximum(found, 0) ** weights, axis=1).astype(np.float32)


def compare(first: np.ndarray, second: np.ndarray, scales: int) -> list[float]:
    """Of float32 [H, W] in [0, 255], contrast and structure at each scale but the last, and there SSIM (Wang et al.
    2003, section 3.1)."""
    found, edge = [], WINDOW // 2
    for scale in range(scales):
        if scale:
            first, second = halve(first), halve(second)
        mean_first, mean_second = blur(first), blur(second)
        product, squares = mean_first * mean_second, mean_first**2 + mean_second**2
        structure = (2 * (blur(first * second) - product) + C2) / (blur(first**2 + second**2) - squares + C2)
        if scale < scales - 1:  # where the window lies inside the picture
            found.append(float(structure[edge:-edge, edge:-edge].mean()))
    return [*found, float((structure * (2 * product + C1) / (squares + C1)).mean())]


def blur(picture: np.ndarray) -> np.ndarray:
    """Under the Gaussian window; beyond its edge the picture is mirrored."""
    return cv2.sepFilter2D(picture, cv2.CV_32F, GAUSSIAN, GAUSSIAN, borderType=cv2.BORDER_REFLECT_101)


def halve(picture: np.ndarray) -> np.ndarray:
    """Means of two by two pixels."""
    height, width = (side // 2 for side in picture.shape)
    return picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))


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
