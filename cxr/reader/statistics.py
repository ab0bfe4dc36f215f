"""Figures over several readers who all saw the same cases, for other readers and other cases of their kind.

The model is Obuchowski and Rockette's (1995, Commun. Stat. Simul. Comput. 24, 285) for one modality, with the degrees
of freedom of Hillis (2007, Stat. Med. 26, 596); covariances between readers are those of DeLong et al. (1988,
Biometrics 44, 837).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from cxr.report.proportions import LEVEL, clopper_pearson

BY_CHANCE = 0.5


@dataclass(frozen=True)
class Estimate:
    """With its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Figures:
    """A figure of each reader, and how the cases move them together."""

    values: np.ndarray  # float64 [R]
    covariance: np.ndarray  # float64 [R, R], of other cases with these readers

    def standard_error(self) -> tuple[float, float]:
        """Of the mean over readers, and its degrees of freedom; of one reader for other cases alone."""
        readers = len(self.values)
        if readers == 1:
            return float(np.sqrt(self.covariance[0, 0])), np.inf
        of_readers = float(np.var(self.values, ddof=1))
        shared = float(self.covariance[~np.eye(readers, dtype=bool)].mean())
        total = of_readers + max(readers * shared, 0.0)
        freedom = total**2 / (of_readers**2 / (readers - 1)) if of_readers else np.inf
        return float(np.sqrt(total / readers)), freedom

    def mean(self) -> Estimate:
        """Of all readers."""
        error, freedom = self.standard_error()
        value, half = float(self.values.mean()), error * float(stats.t.isf(LEVEL / 2, freedom))
        return Estimate(value, value - half, value + half)

    def each(self) -> list["Figures"]:
        """Of each reader alone."""
        return [Figures(self.values[[r]], self.covariance[[r]][:, [r]]) for r in range(len(self.values))]


def difference_of_means(synthetic: np.ndarray, real: np.ndarray) -> Figures:
    """What each reader gave synthetic cases [R, S] more than real ones [R, N], on average."""
    covariance = sum(np.atleast_2d(np.cov(part)) / part.shape[1] for part in (synthetic, real))
    return Figures(synthetic.mean(axis=1) - real.mean(axis=1), np.asarray(covariance))


def areas(synthetic: np.ndarray, real: np.ndarray) -> Figures:
    """The AUC of each reader: how often a synthetic case [R, S] has a higher score than a real one [R, N]; equal scores
    count half. Of scores of two values it is the mean of sensitivity and specificity."""
    above = np.sign(synthetic[:, :, None] - real[:, None, :]) / 2 + 0.5
    found = difference_of_means(above.mean(axis=2), -above.mean(axis=1))
    return Figures(above.mean(axis=(1, 2)), found.covariance)


def mean_area(found: Figures, cases: int) -> Estimate:
    """The mean AUC over readers with an interval on the scale of its logit, which stays within 0 and 1.

    Where no case moves it (all are told apart, or all look alike), the interval is that of the pairs of one real and
    one synthetic case that share none: so many independent trials.

    Args:
        cases: of the rarer kind.
    """
    value, (error, freedom) = float(found.values.mean()), found.standard_error()
    if error < 1e-9:
        return Estimate(value, *clopper_pearson(value, cases))
    half = error / (value * (1 - value)) * float(stats.t.isf(LEVEL / 2, freedom))
    low, high = expit(logit(value) + np.array([-half, half]))
    return Estimate(value, float(low), float(high))


def fleiss_kappa(said: np.ndarray) -> Estimate | None:
    """Agreement beyond chance on bool [R, N], R at least 2 (Fleiss 1971, Psychol. Bull. 76, 378), with a jackknife
    over cases (N at least 3). None where all said the same of every case: there is no kappa then.
    """
    readers, cases = said.shape
    votes = said.sum(axis=0)
    agreeing = (votes**2 + (readers - votes) ** 2 - readers) / (readers * (readers - 1))
    if votes.sum() in (0, readers * cases):
        return None
    value = _kappa(agreeing.mean(), votes.mean() / readers)
    with np.errstate(invalid="ignore", divide="ignore"):
        left_out = _kappa((agreeing.sum() - agreeing) / (cases - 1), (votes.sum() - votes) / (cases - 1) / readers)
    left_out = np.where(np.isfinite(left_out), left_out, value)
    half = np.sqrt((cases - 1) * np.var(left_out)) * stats.norm.isf(LEVEL / 2)
    return Estimate(float(value), float(max(value - half, -1.0)), float(min(value + half, 1.0)))


def _kappa(agreeing: np.ndarray, share: np.ndarray) -> np.ndarray:
    by_chance = share**2 + (1 - share) ** 2
    return (agreeing - by_chance) / (1 - by_chance)
