"""Antialiased shapes as float32 masks in 0..1; coordinates are fractions of the picture's side, x right and y down."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

cv2.setNumThreads(0)  # workers run one process a core; OpenCV's own threads would fight over them
SHIFT = 4  # fractional bits OpenCV takes for subpixel vertices
Points = Sequence[tuple[float, float]] | np.ndarray


def to_fixed_point(points: Points, n: int) -> np.ndarray:
    return np.round(np.asarray(points, np.float64) * n * (1 << SHIFT)).astype(np.int32).reshape(-1, 1, 2)


def smooth(points: Points, closed: bool = True, rounds: int = 3) -> np.ndarray:
    """Chaikin's corner cutting: [k, 2] control points to a smooth curve; a doubled point stays a sharp corner."""
    p = np.asarray(points, np.float64)
    for _ in range(rounds):
        after = np.roll(p, -1, axis=0) if closed else p[1:]
        before = p if closed else p[:-1]
        cut = np.stack([0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after], 1).reshape(-1, 2)
        p = cut if closed else np.concatenate([p[:1], cut, p[-1:]])
    return p


def soft(mask: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with `sigma` as a fraction of the side; wide ones run on a quarter-size copy."""
    n = mask.shape[0]
    if sigma * n < 6:
        return cv2.GaussianBlur(mask, (0, 0), sigma * n)
    small = cv2.resize(mask, (n // 4, n // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma * n / 4, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(small, (n, n), interpolation=cv2.INTER_CUBIC)


def polygon(n: int, points: Points, blur: float = 0.0) -> np.ndarray:
    """[n, n] mask of a filled outline."""
    canvas = np.zeros((n, n), np.uint8)
    cv2.fillPoly(canvas, [to_fixed_point(points, n)], 255, cv2.LINE_AA, SHIFT)
    mask = canvas.astype(np.float32) / 255
    return soft(mask, blur) if blur else mask


def ellipse(n: int, x: float, y: float, rx: float, ry: float, blur: float = 0.0, turn: float = 0.0) -> np.ndarray:
    """[n, n] mask of a filled ellipse, turned by `turn` radians."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    a, b = rx * np.cos(t), ry * np.sin(t)
    c, s = np.cos(turn), np.sin(turn)
    return polygon(n, np.stack([x + a * c - b * s, y + a * s + b * c], 1), blur)


def discs(n: int, centres: np.ndarray, radii: Iterable[float], blur: float = 0.0) -> np.ndarray:
    """[n, n] mask of filled circles at centres [k, 2]."""
    canvas = np.zeros((n, n), np.uint8)
    for centre, radius in zip(to_fixed_point(centres, n).reshape(-1, 2).tolist(), radii, strict=True):
        cv2.circle(canvas, centre, max(1, round(radius * n * (1 << SHIFT))), 255, -1, cv2.LINE_AA, SHIFT)
    mask = canvas.astype(np.float32) / 255
    return soft(mask, blur) if blur else mask


def strokes(n: int, lines: Iterable[Points], width: float, blur: float = 0.0, closed: bool = False) -> np.ndarray:
    """[n, n] mask of open (or closed) lines `width` wide."""
    canvas = np.zeros((n, n), np.uint8)
    cv2.polylines(
        canvas, [to_fixed_point(p, n) for p in lines], closed, 255, max(1, round(width * n)), cv2.LINE_AA, SHIFT
    )
    mask = canvas.astype(np.float32) / 255
    return soft(mask, blur) if blur else mask


def tube(n: int, lines: Sequence[Points], width: float, wall: float, inside: float = 0.45) -> np.ndarray:
    """[n, n] mask of bands with bright edges: a cylinder's wall is longest where the ray grazes it."""
    return strokes(n, lines, width) - (1 - inside) * strokes(n, lines, width - 2 * wall)


def texture(n: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    """[n, n] smooth noise in 0..1 with blobs of `scale` of the side."""
    k = max(3, round(1 / scale))
    noise = cv2.resize(rng.random((k, k), np.float32), (n, n), interpolation=cv2.INTER_CUBIC)
    return np.clip(noise, 0, 1)


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smoothstep: 0 below `low`, 1 above `high`; falls instead when high < low."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 4)
