"""Intervals of a proportion that hold where nothing varied, by Clopper and Pearson 1934 (Biometrika 26, 404) on as many
patients as the pictures are worth.

Pictures of one patient are alike, so n of them say as much as n / D of different patients. D is 1 where they are not
alike and sum(m^2) / sum(m) where they are wholly alike, m being a patient's pictures (Kish 1965, Survey Sampling). It
is estimated from the scatter between patients (Korn and Graubard 1998, Survey Methodology 24, 193). A few patients who
differ from the others give no estimate of D: it is shrunk towards wholly alike as if by one patient more.
"""

import numpy as np
from scipy import stats

LEVEL = 0.05


def clopper_pearson(share: float, patients: float) -> tuple[float, float]:
    """The 95 % interval of a share that was seen among so many independent patients, which need not be whole."""
    hits, misses = share * patients, (1 - share) * patients
    low = stats.beta.ppf(LEVEL / 2, hits, misses + 1) if hits > 0 else 0.0
    high = stats.beta.isf(LEVEL / 2, hits + 1, misses) if misses > 0 else 1.0
    return float(low), float(high)


def clustered_interval(hits: np.ndarray, patients: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the share of hits, bool [N], when the patients [N] are a sample; N at least 1.

    As Korn and Graubard 1998 do, Student's quantiles allow for how few the patients are.
    """
    owners = np.unique(patients, return_inverse=True)[1]
    pictures, share, total = np.bincount(owners), float(hits.mean()), len(hits)
    if len(pictures) == total:
        return clopper_pearson(share, total)
    components = np.bincount(owners, hits - share) / total * np.sqrt(len(pictures) / max(len(pictures) - 1, 1))
    alike = count_independent(pictures)
    worth = effective_patients(share, float(components @ components), count_carriers(components), alike)
    quantiles = stats.t.isf(LEVEL / 2, [total - 1, max(alike - 1, 1.0)])
    return clopper_pearson(share, min(max(worth, alike), total) * (quantiles[0] / quantiles[1]) ** 2)


def count_independent(weights: np.ndarray) -> float:
    """How many independent pictures those of patients with so many each are worth, if a patient's are wholly alike."""
    total = float(weights.sum())
    return total**2 / float(weights @ weights) if total else 0.0


def count_carriers(components: np.ndarray) -> float:
    """The effective number of patients [P] that carry a variance sum(u^2); 0 where there is none."""
    square, fourth = np.square(components).sum(), np.power(components, 4).sum()
    return float(square**2 / fourth) if fourth > 0 else 0.0


def effective_patients(share: float, variance: float, known: float, alike: float) -> float:
    """The effective number of independent patients of a share.

    Args:
        variance: of the share, over patients.
        known: how many patients carry it.
        alike: as how many it counts where none does.
    """
    most = share * (1 - share)
    return (known + 1) / (known * variance / most + 1 / alike) if known and most else alike
