"""Intervals of a proportion that hold where nothing varied, by Clopper and Pearson 1934 (Biometrika 26, 404) on as many
patients as the pictures are worth.

Pictures of one patient are alike, so n of them say as much as n / D of different patients. D is 1 where they are not
alike and sum(m^2) / sum(m) where they are wholly alike, m being a patient's pictures (Kish 1965, Survey Sampling). It
is estimated from the scatter between patients, and Student's quantiles allow for how few they are (Korn and Graubard
1998, Survey Methodology 24, 193). Few patients who differ from the others tell nothing of D: it is drawn towards wholly
alike as if by one patient more.
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


def clustered(hits: np.ndarray, patients: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the share of hits, bool [N], when the patients [N] are a sample; N at least 1."""
    owners = np.unique(patients, return_inverse=True)[1]
    pictures, share = np.bincount(owners), float(hits.mean())
    alike, total = float(pictures @ pictures / pictures.sum()), len(hits)
    if len(pictures) == total:
        return clopper_pearson(share, total)
    known = np.count_nonzero(np.bincount(owners, hits != (share > 0.5)))  # patients who differ from most
    effect = (known * _design_effect(hits, owners, share) + alike) / (known + 1) if known else alike
    quantiles = stats.t.isf(LEVEL / 2, [total - 1, max(total / alike - 1, 1.0)])
    return clopper_pearson(share, total / min(max(effect, 1.0), alike) * (quantiles[0] / quantiles[1]) ** 2)


def _design_effect(hits: np.ndarray, owners: np.ndarray, share: float) -> float:
    """The variance of the share over patients, in times of what independent pictures would have."""
    sums = np.bincount(owners, hits - share)
    scatter = len(sums) / max(len(sums) - 1, 1) * np.square(sums).sum() / len(hits) ** 2
    return float(scatter / (share * (1 - share) / len(hits)))
