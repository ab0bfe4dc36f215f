"""Readers of a known d': answers by Roe and Metz's model (1997, Acad. Radiol. 4, 298) with equal variances."""

import numpy as np
from scipy.stats import norm

BETWEEN = 0.2  # standard deviation of d' between readers
SHARED = 0.4  # correlation of two readers' scores of one case


def draw_scores(rng: np.random.Generator, d: float, readers: int, cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of synthetic and of real cases, float64 [R, cases / 2] each. Guessing readers (d = 0) are all alike."""
    own = rng.normal(d, BETWEEN if d else 0.0, (readers, 1))

    def draw() -> np.ndarray:
        shared, alone = rng.normal(size=cases // 2), rng.normal(size=(readers, cases // 2))
        return np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * alone

    return own + draw(), draw()


def true_area(d: float) -> float:
    """The mean AUC of all readers: Phi(d' / sqrt 2), of readers whose d' differs."""
    return float(norm.cdf(d / np.sqrt(2 + (BETWEEN**2 if d else 0.0))))


def rate(scores: np.ndarray, cuts: tuple[float, ...]) -> np.ndarray:
    """The scores as the page's six answers: -3 (real, sure) to 3 (synthetic, sure), no 0."""
    return np.array([-3, -2, -1, 1, 2, 3])[np.digitize(scores, cuts)]
