"""Does a score tell training patients from test patients? Statistics of membership inference, without a model.

Patients are compared in pairs of one training and one test patient who are alike. Pictures of one patient are alike
too, so intervals are of patients drawn whole, with replacement (cluster bootstrap, Field and Welsh 2007, J. R. Stat.
Soc. B 69, 369). Beside the AUC stands the share of training pictures above what 1 % of test pictures reach: an attack
that is sure of a few patients is a leak, however it does on average (Carlini et al. 2022, arXiv:2112.03570).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from cxr.audit.config import POWER
from cxr.audit.duplicates import controls_needed

LEVEL = 0.05  # of intervals: two-sided
FALSE_POSITIVES = 0.01  # of test pictures
FEWEST = 20  # patients a side: of fewer, halves say nothing
CELLS = 1 << 22  # resamples x pictures at once


@dataclass(frozen=True)
class Estimate:
    """With its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MembershipTest:
    """How well a score tells training pictures from others."""

    auc: Estimate
    tpr: Estimate | None  # share told at `FALSE_POSITIVES`; None: too few test pictures to know what that is


def pair_patients(member: np.ndarray, strata: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs of a training and a test patient of the same stratum, int [n, 2] rows, drawn; as many as there can be, and
    not more than `most`.

    Args:
        member: bool [P], a training patient; strata: str [P].
    """
    pairs = [np.empty((0, 2), int)]
    for one in np.unique(strata):
        sides = [rng.permutation(np.flatnonzero((strata == one) & side)) for side in (member, ~member)]
        pairs.append(np.column_stack([rows[: min(map(len, sides))] for rows in sides]))
    return rng.permutation(np.concatenate(pairs))[:most]


def split_halves(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """bool [P], True for a half of the patients of each stratum, str [P]: as if these had been trained on."""
    half = np.empty(len(strata), bool)
    half[np.lexsort((rng.random(len(strata)), strata))] = np.arange(len(strata)) % 2 == 0
    return half


def compare_members(
    scores: np.ndarray, owners: np.ndarray, member: np.ndarray, resamples: int, rng: np.random.Generator
) -> MembershipTest:
    """Whether pictures of training patients have higher scores.

    Args:
        scores: float [N], of pictures.
        owners: int [N], the patient of each; member: bool [P], a training patient. Both sides have some.
    """
    members, controls = scores[member[owners]], scores[~member[owners]]
    whole = rates(members, controls, (np.ones((1, len(members))), np.ones((1, len(controls)))))
    of_members, of_controls = (
        np.unique(owners[side], return_inverse=True)[1] for side in (member[owners], ~member[owners])
    )
    drawn = [
        rates(members, controls, (draw_patients(of_members, count, rng), draw_patients(of_controls, count, rng)))
        for count in steps(resamples, max(1, CELLS // len(scores)))
    ]
    auc, tpr = (
        Estimate(float(value[0]), *map(float, np.quantile(np.concatenate(draws), [LEVEL / 2, 1 - LEVEL / 2])))
        for value, draws in zip(whole, zip(*drawn, strict=True), strict=True)
    )
    return MembershipTest(auc, tpr if len(controls) >= controls_needed(FALSE_POSITIVES) else None)


def steps(total: int, most: int) -> Iterator[int]:
    """The total in parts of at most so many."""
    yield from (min(most, total - start) for start in range(0, total, most))


def draw_patients(owners: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """float [count, N]: how often each picture is in each of so many resamples of its side's patients.

    Args:
        owners: int [N], from 0 to P - 1.
    """
    patients = owners.max() + 1
    return rng.multinomial(patients, np.full(patients, 1 / patients), count)[:, owners].astype(float)


def rates(
    members: np.ndarray, controls: np.ndarray, weights: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The AUC, and the share of members above the threshold: each float [B], for each of B ways to weigh pictures.

    The threshold is one of the controls' scores: of n controls the (n + 1) / 100-th highest, so that 1 % of pictures
    like them is above it; the highest where there is none such.

    Args:
        members: float [N], scores; controls: float [M].
        weights: of the members, float [B, N], and of the controls, float [B, M].
    """
    order = np.argsort(members, kind="stable"), np.argsort(controls, kind="stable")
    members, controls = members[order[0]], controls[order[1]]
    of_members, of_controls = weights[0][:, order[0]], weights[1][:, order[1]]
    below, lower = (np.pad(np.cumsum(one, axis=1), ((0, 0), (1, 0))) for one in (of_members, of_controls))
    all_members, all_controls = below[:, -1], lower[:, -1]
    beaten = sum(lower[:, np.searchsorted(controls, members, side)] for side in ("left", "right")) / 2  # ties: a half
    auc = (of_members * beaten).sum(axis=1) / (all_members * all_controls)
    rank = max(int(FALSE_POSITIVES * (len(controls) + 1) + 1e-9), 1)
    reached = all_controls[:, None] - lower[:, :-1] >= rank / len(controls) * all_controls[:, None] - 1e-9
    passed = np.searchsorted(members, controls, "right")[reached.sum(axis=1) - 1]
    above = all_members - np.take_along_axis(below, passed[:, None], axis=1)[:, 0]
    return auc, above / all_members


def detectable_auc(patients: int, max_auc: float) -> float:
    """The least AUC whose interval lies above the limit with `POWER`, with so many patients a side, each with one
    picture; infinite where none does. Standard errors as Hanley and McNeil 1982 (Radiology 143, 29)."""
    auc = np.linspace(max_auc, 1, 1001)
    spread = auc * (1 - auc) + (patients - 1) * (auc / (2 - auc) + 2 * auc**2 / (1 + auc) - 2 * auc**2)
    enough = auc - max_auc >= (norm.isf(LEVEL / 2) + norm.ppf(POWER)) * np.sqrt(spread) / patients
    return float(auc[enough][0]) if patients >= FEWEST and enough.any() else np.inf
