"""AUROC against the number of real pictures: fitted to many draws at once, and read backwards.

The form is a - b n^-c, which most learning curves of classifiers have (Viering and Loog 2023, IEEE Trans. Pattern Anal.
Mach. Intell. 45, 7799), fitted by least squares: for each exponent of a grid a and b are a straight line. Where it does
not fit, the curve is the nearest one that never falls (isotonic), straight between its points over log n.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

Form = Literal["power", "monotone"]
EXPONENTS = np.geomspace(0.05, 4, 80)  # the first is nearly a logarithm, the last a step after the first point
BEYOND = 2.0  # times the most and least real pictures measured: as far as a fitted form is believed
MISFIT = 0.05  # p of a fit below which the power law is given up


class Curves(Protocol):
    """[B] curves. `reach`: the numbers of pictures, least and most, that can be told."""

    reach: tuple[float, float]

    def at(self, sizes: np.ndarray) -> np.ndarray:
        """AUROC [B, N] at numbers of pictures [N]."""

    def read(self, heights: np.ndarray) -> np.ndarray:
        """Numbers of pictures [B] at which the curves have these heights [B], one each; an end of `reach` for itself
        and all beyond it."""


@dataclass(frozen=True)
class PowerLaws:
    """a - b (n / most)^-c, b >= 0."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    most: float
    reach: tuple[float, float]

    @classmethod
    def fit(cls, sizes: np.ndarray, heights: np.ndarray) -> "PowerLaws":
        """To heights [B, K] at sizes [K], ascending."""
        most, best, found = float(sizes[-1]), np.full(len(heights), np.inf), np.zeros((3, len(heights)))
        for exponent in EXPONENTS:
            base = (sizes / most) ** -exponent
            away = base - base.mean()
            slope = np.maximum(0.0, -(heights @ away) / (away @ away))
            end = heights.mean(axis=1) + slope * base.mean()
            lost = np.square(heights - end[:, None] + slope[:, None] * base).sum(axis=1)
            better = lost < best
            best[better] = lost[better]
            found[:, better] = np.stack([end, slope, np.full(len(end), exponent)])[:, better]
        a, b, c = found
        return cls(a, b, c, most, (float(sizes[0]) / BEYOND, most * BEYOND))

    def at(self, sizes: np.ndarray) -> np.ndarray:
        return self.a[:, None] - self.b[:, None] * (sizes / self.most) ** -self.c[:, None]

    def read(self, heights: np.ndarray) -> np.ndarray:
        room = self.a - heights
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self.most * (self.b / room) ** (1 / self.c)
        return np.clip(np.where(room > 0, found, np.inf), *self.reach)


@dataclass(frozen=True)
class MonotoneCurves:
    heights: np.ndarray  # [B, K], never falling
    sizes: np.ndarray  # [K]
    reach: tuple[float, float]

    @classmethod
    def fit(cls, sizes: np.ndarray, heights: np.ndarray) -> "MonotoneCurves":
        """The nearest in least squares: at each point the largest, over where a run of points may begin, of the
        smallest mean of such a run (Barlow et al. 1972, Statistical Inference under Order Restrictions)."""
        count = len(sizes)
        sums = np.concatenate([np.zeros((len(heights), 1)), heights.cumsum(axis=1)], axis=1)

        def mean(first: int, last: int) -> np.ndarray:
            return (sums[:, last + 1] - sums[:, first]) / (last + 1 - first)

        fitted = [
            np.max([np.min([mean(i, j) for j in range(k, count)], axis=0) for i in range(k + 1)], axis=0)
            for k in range(count)
        ]
        return cls(np.stack(fitted, axis=1), sizes, (float(sizes[0]), float(sizes[-1])))

    def at(self, sizes: np.ndarray) -> np.ndarray:
        return np.array([np.interp(np.log(sizes), np.log(self.sizes), one) for one in self.heights])

    def read(self, heights: np.ndarray) -> np.ndarray:
        logs = [np.interp(y, one, np.log(self.sizes)) for y, one in zip(heights, self.heights, strict=True)]
        found = np.where(heights >= self.heights[:, -1], np.inf, np.exp(logs))
        return np.clip(np.where(heights <= self.heights[:, 0], 0.0, found), *self.reach)


FORMS: dict[Form, type[PowerLaws] | type[MonotoneCurves]] = {"power": PowerLaws, "monotone": MonotoneCurves}


def choose_form(sizes: np.ndarray, heights: np.ndarray, noise: np.ndarray) -> tuple[Form, float]:
    """The form for heights [K], and p of a power law's fit. Where the exponent is the smallest there is, the curve does
    not bend, so that no end can be told from it."""
    p, (exponent,) = fit_p(sizes, heights, noise), PowerLaws.fit(sizes, heights[None]).c
    return ("power" if p >= MISFIT and exponent > EXPONENTS[0] else "monotone"), p


def fit_p(sizes: np.ndarray, heights: np.ndarray, noise: np.ndarray) -> float:
    """p that heights [K] are a power law and noise: the share of power laws with noise [B, K] that fit no better."""
    fitted = PowerLaws.fit(sizes, heights[None]).at(sizes)
    again = fitted + noise
    lost = np.square(PowerLaws.fit(sizes, again).at(sizes) - again).sum(axis=1)
    return float(np.mean(lost >= np.square(fitted[0] - heights).sum()))
