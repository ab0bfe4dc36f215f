"""Copies as somebody could make them, planted to see which of them a detector finds: the power of a search.

Lengths are shares of the side, so that a copy is the same at any size; what is left empty is black or, where the
picture was moved, its own edge.
"""

from collections.abc import Callable

import cv2
import numpy as np

from cxr.data.images import fit_square

Copy = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""From a picture and another patient's, uint8 [S, S] both, and random numbers: the copy, uint8 [S, S]."""
PIXEL = 1 / 128  # of the side: what AUDIT's lengths in pixels are of


def moved(right: float = 0.0, down: float = 0.0, degrees: float = 0.0, zoom: float = 1.0, stretch: float = 1.0) -> Copy:
    """Shifted by shares of the side, turned about the middle, larger, and wider."""

    def copy(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        side = len(picture)
        matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), degrees, zoom)
        matrix[0] *= stretch
        matrix[0, 2] -= (stretch - 1) * (side - 1) / 2
        matrix[:, 2] += right * side, down * side
        return cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)

    return copy


def cropped(share: float) -> Copy:
    """Without so much of its side, from a place drawn at random, scaled up again."""

    def copy(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        side = len(picture)
        kept = round((1 - share) * side)
        top, left = rng.integers(0, side - kept + 1, 2)
        return fit_square(picture[top : top + kept, left : left + kept], side, "keep")

    return copy


def warped(amount: float) -> Copy:
    """Bent by smooth random shifts of up to `amount` of the side."""

    def copy(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        side = len(picture)
        coarse = rng.uniform(-1, 1, (2, 5, 5)).astype(np.float32)
        bend = [cv2.resize(shift, (side, side), interpolation=cv2.INTER_CUBIC) * amount * side for shift in coarse]
        rows, columns = np.mgrid[:side, :side].astype(np.float32)
        return cv2.remap(picture, columns + bend[0], rows + bend[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    return copy


def equalised(clip: float | None) -> Copy:
    """By CLAHE with this limit, or over the whole histogram."""
    return lambda picture, other, rng: (
        cv2.equalizeHist(picture) if clip is None else cv2.createCLAHE(clip, (8, 8)).apply(picture)
    )


def scaled(share: float) -> Copy:
    """To this share of its side and back."""
    return lambda picture, other, rng: fit_square(
        fit_square(picture, round(share * len(picture)), "keep"), len(picture), "keep"
    )


def blurred(width: float) -> Copy:
    return lambda picture, other, rng: cv2.GaussianBlur(picture, (0, 0), width * len(picture))


def noisy(levels: float) -> Copy:
    return lambda picture, other, rng: clip(picture + rng.normal(0, levels, picture.shape))


def gamma(power: float) -> Copy:
    return lambda picture, other, rng: clip(255 * (picture / 255) ** power)


def inverted(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 255 - picture


def mirrored(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(picture[:, ::-1])


def half(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One lung with its half of the chest; the other half is another patient's."""
    middle = picture.shape[1] // 2
    sides = (picture, other) if rng.integers(2) else (other, picture)
    return np.hstack([sides[0][:, :middle], sides[1][:, middle:]])


def pasted(share: float) -> Copy:
    """Its middle, so much of the side, on another patient's picture."""

    def copy(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        margin = round((1 - share) / 2 * len(picture))
        whole, inner = other.copy(), slice(margin, len(picture) - margin)
        whole[inner, inner] = picture[inner, inner]
        return whole

    return copy


def patched(area: float, smoothly: bool) -> Copy:
    """A square of this share of the area is another patient's, or painted in from around it."""

    def copy(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        side = len(picture)
        width = round(area**0.5 * side)
        top, left = rng.integers(0, side - width + 1, 2)
        hole = np.zeros_like(picture)
        hole[top : top + width, left : left + width] = 1
        return cv2.inpaint(picture, hole, 3, cv2.INPAINT_TELEA) if smoothly else np.where(hole, other, picture)

    return copy


def blended(share: float) -> Copy:
    """So much of it and the rest of another patient's, laid over each other."""
    return lambda picture, other, rng: clip(share * picture.astype(float) + (1 - share) * other)


def after(*steps: Copy) -> Copy:
    """One after another."""

    def copy(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for step in steps:
            picture = step(picture, other, rng)
        return picture

    return copy


def clip(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


COPIES: dict[str, Copy] = {
    "the same": lambda picture, other, rng: picture,
    "shifted 6 px": moved(6 * PIXEL, -6 * PIXEL),
    "shifted 10 px": moved(10 * PIXEL, 0),
    "warped 2 px": warped(2 * PIXEL),
    "warped 4 px": warped(4 * PIXEL),
    "warped 6 px": warped(6 * PIXEL),
    "CLAHE 3": equalised(3),
    "CLAHE 8": equalised(8),
    "histogram equalised": equalised(None),
    "scaled to a half": scaled(1 / 2),
    "scaled to a quarter": scaled(1 / 4),
    "blurred 3 px": blurred(3 * PIXEL),
    "noise 20": noisy(20),
    "noise 40": noisy(40),
    "turned 2 degrees": moved(degrees=2),
    "turned 5 degrees": moved(degrees=5),
    "turned 10 degrees": moved(degrees=10),
    "turned 15 degrees": moved(degrees=15),
    "turned 2, zoomed 1.04, shifted 4 px, gamma": after(
        moved(4 * PIXEL, 4 * PIXEL, degrees=2, zoom=1.04), gamma(1.3)
    ),
    "10 % another's": patched(0.1, smoothly=False),
    "25 % another's": patched(0.25, smoothly=False),
    "inpainted 10 %": patched(0.1, smoothly=True),
    "inpainted 25 %": patched(0.25, smoothly=True),
    "inverted": inverted,
    "mirrored": mirrored,
    "half": half,
    "middle 60 % pasted": pasted(0.6),
    "middle 25 % pasted": pasted(0.25),
    "blended 0.7": blended(0.7),
    "blended 0.5": blended(0.5),
    "cropped 10 %": cropped(0.1),
    "cropped 20 %": cropped(0.2),
    "cropped 30 %": cropped(0.3),
    "cropped 10 %, turned 3, CLAHE": after(cropped(0.1), moved(degrees=3), equalised(3)),
    "stretched 1.08": moved(stretch=1.08),
}  # fmt: skip
