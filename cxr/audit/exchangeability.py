"""Are synthetic pictures nearer to training patients than to as many test patients who are like them? Needs no model.

A model that has memorised nothing cannot tell the two apart: who is a training patient was decided by chance. So the
share of synthetic pictures whose nearest patient is a training patient is compared with the shares that come out when
who is which is decided anew, within patients of the same finding and view (a permutation test, Phipson and Smyth 2010,
Stat. Appl. Genet. Mol. Biol. 9, 39). Whole patients change sides, because pictures of one patient are alike, and one
patient can be the nearest of many pictures.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.stats import norm

from cxr.audit.config import POWER
from cxr.data.images import fit_square

DETAIL_SIDE = 64  # px
SMOOTH, BLUR = 0.5, 2.5  # px; details are what lies between
MOST_PER_PATIENT = 4  # patients of the larger side for each of the smaller one; more would add little
NEAREST = 48  # patients of each picture that are looked at: half of them are in a draw, a quarter at least
PICTURES = 512  # at once
CELLS = 1 << 22  # permutations x pictures x patients at once


@dataclass(frozen=True)
class Neighbours:
    """The patients nearest to each synthetic picture, the nearest first."""

    patients: np.ndarray  # int [M, K]
    likeness: np.ndarray  # float32 [M, K]


@dataclass(frozen=True)
class Sides:
    """Patients who are compared: matched, so that each stratum has some on both sides."""

    member: np.ndarray  # bool [P], a training patient
    strata: np.ndarray  # int [P], from 0

    def chances(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each stratum the share of its members and of its controls that a draw of as many of both keeps."""
        members, controls = (np.bincount(self.strata[side], minlength=self.strata.max() + 1)
                             for side in (self.member, ~self.member))  # fmt: skip
        fewer = np.minimum(members, controls)
        return fewer / members, fewer / controls

    @property
    def matched(self) -> int:
        """Patients of each side in a draw."""
        return int(sum(min(np.sum(side[self.strata == one]) for side in (self.member, ~self.member))
                       for one in range(self.strata.max() + 1)))  # fmt: skip


@dataclass(frozen=True)
class NearestTest:
    """What the test says; shares are means over all draws of as many training as test patients."""

    share: float  # of pictures whose nearest patient is a training patient
    expected: float  # of them, were it chance who is
    p: float
    detectable: float  # share of memorised pictures that would be found with POWER; infinite: all would not be


@dataclass(frozen=True)
class Flagged:
    """Pictures nearer to a training patient than 99 % of this generator's pictures are to a test patient."""

    threshold: float  # likeness, mean over the draws
    share: float  # of pictures, mean over the draws
    pictures: np.ndarray  # bool [M], in most of the draws


def match_sides(member: np.ndarray, strata: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Sides]:
    """Rows int [P'] of the patients who can be compared, and their sides: those of strata that both sides have.

    Args:
        member: bool [P]; strata: str [P].
        rng: draws those of a side who are far more than the other's.
    """
    kept = []
    for one in np.unique(strata):
        sides = [rng.permutation(np.flatnonzero((strata == one) & (member == side))) for side in (True, False)]
        most = MOST_PER_PATIENT * min(map(len, sides))
        kept += [rows[:most] for rows in sides]
    rows = np.sort(np.concatenate(kept)) if kept else np.empty(0, int)
    return rows, Sides(member[rows], np.unique(strata[rows], return_inverse=True)[1])


def detail_vectors(pixels: np.ndarray) -> np.ndarray:
    """float32 [N, 4096] of mean 0 and length 1, of uint8 [N, H, W]: products are correlations of details, which leave
    out what all chests share."""
    vectors = np.empty((len(pixels), DETAIL_SIDE**2), np.float32)
    for row, picture in enumerate(pixels):
        light = fit_square(picture, DETAIL_SIDE, "keep").astype(np.float32)
        detail = cv2.GaussianBlur(light, (0, 0), SMOOTH) - cv2.GaussianBlur(light, (0, 0), BLUR)
        vectors[row] = detail.ravel() - detail.mean()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-6)


def nearest_patients(synthetic: np.ndarray, real: np.ndarray, owners: np.ndarray) -> Neighbours:
    """The patients with a picture nearest to each synthetic one, by Euclidean distance between vectors.

    Args:
        synthetic: float32 [M, d]; real: float32 [N, d].
        owners: int [N], the patient of each real picture; each of 0 to P-1 has one at least.
    """
    order = np.argsort(owners, kind="stable")
    vectors, starts = real[order], np.flatnonzero(np.diff(owners[order], prepend=-1))
    half_lengths = np.square(vectors).sum(axis=1) / 2
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, len(synthetic), PICTURES):
        part = synthetic[start : start + PICTURES]
        likeness = np.maximum.reduceat(part @ vectors.T - half_lengths, starts, axis=1)
        most = min(NEAREST, likeness.shape[1])
        patients = np.argpartition(-likeness, most - 1, axis=1)[:, :most]
        ranks = np.argsort(-np.take_along_axis(likeness, patients, axis=1), axis=1, kind="stable")
        patients = np.take_along_axis(patients, ranks, axis=1)
        own = np.square(part).sum(axis=1, keepdims=True) / 2
        found.append((patients, -2 * (own - np.take_along_axis(likeness, patients, axis=1))))
    patients, likeness = (np.concatenate(column) for column in zip(*found, strict=True))
    return Neighbours(patients, likeness.astype(np.float32))


def compare_nearest(
    found: Neighbours,
    sides: Sides,
    permutations: int,
    max_p: float,
    rng: np.random.Generator,
    advance: Callable[[int], object] = lambda count: None,
) -> NearestTest:
    """The test; `advance` is called for each permutation."""
    share = float(mean_shares(found.patients, sides.member[None], sides)[0])
    chance = []
    step = max(1, CELLS // found.patients.size)
    for start in range(0, permutations, step):
        count = min(step, permutations - start)
        chance.append(mean_shares(found.patients, permute_sides(sides, count, rng), sides))
        advance(count)
    null = np.concatenate(chance)
    p = float((1 + (null >= share - 1e-9).sum()) / (1 + permutations))
    return NearestTest(share, float(null.mean()), p, detectable_share(null, len(found.patients), sides, max_p))


def permute_sides(sides: Sides, count: int, rng: np.random.Generator) -> np.ndarray:
    """bool [count, P]: who is a training patient, decided anew within each stratum."""
    drawn = np.empty((count, len(sides.member)), bool)
    for one in range(sides.strata.max() + 1):
        rows = np.flatnonzero(sides.strata == one)
        drawn[:, rows] = rng.permuted(np.broadcast_to(sides.member[rows], (count, len(rows))), axis=1)
    return drawn


def mean_shares(patients: np.ndarray, member: np.ndarray, sides: Sides) -> np.ndarray:
    """float [B]: for each way to decide who is a training patient, bool [B, P], the share of pictures whose nearest
    patient is one, in the mean over all draws.

    A draw keeps each patient of the side that has more of a stratum with the same chance, so that both sides have as
    many. The nearest one kept is the k-th with the chance that it is kept and none before it is.

    Args:
        patients: int [M, K], the nearest of each picture.
    """
    of_members, of_controls = sides.chances()
    kept = np.where(member, of_members[sides.strata], of_controls[sides.strata]).astype(np.float32)
    chance, trained = kept[:, patients], member[:, patients]
    passed = np.cumprod(1 - chance, axis=2)
    chance[:, :, 1:] *= passed[:, :, :-1]
    return ((chance * trained).sum(axis=2) / chance.sum(axis=2).clip(1e-9)).mean(axis=1)


def detectable_share(null: np.ndarray, pictures: int, sides: Sides, max_p: float) -> float:
    """The share of pictures that must each be nearest to a training patient of its own to be found with `POWER`;
    infinite where all of them would not do. Approximate: pictures that are each nearest to another patient scatter by
    themselves, and only the others as they do by chance.

    Args:
        null: float [B], shares by chance, of so many pictures.
    """
    middle, spread = float(null.mean()), float(null.std())
    if not spread:
        return np.inf
    level = (float(np.quantile(null, 1 - max_p, method="higher")) - middle) / spread
    kept = float(sides.chances()[0][sides.strata[sides.member]].mean())
    share = np.linspace(0, 1, 1001)
    independent = np.clip(share * pictures, 1, sides.member.sum())
    scatter = np.sqrt(((1 - share) * spread) ** 2 + share**2 / 4 / independent)
    enough = share * kept * (1 - middle) >= (level + norm.ppf(POWER)) * scatter
    return float(share[enough][0]) if enough.any() else np.inf


def flag_nearest(found: Neighbours, sides: Sides, false_alarms: float, draws: int, rng: np.random.Generator) -> Flagged:
    """Pictures that are nearer to a training patient than this generator's pictures are to as many test patients, but
    for a share of `false_alarms`."""
    levels, flags = [], []
    for kept in draw_matched(sides, draws, rng):
        trained, tested = (first_likeness(found, kept & side) for side in (sides.member, ~sides.member))
        level = np.quantile(tested, 1 - false_alarms, method="higher")
        levels.append(level)
        flags.append(trained > level)
    often = np.mean(flags, axis=0)
    return Flagged(float(np.mean(levels)), float(often.mean()), often > 0.5)


def draw_matched(sides: Sides, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """bool [P] of each draw: of every stratum as many training as test patients."""
    for _ in range(draws):
        kept = np.zeros(len(sides.member), bool)
        for one in range(sides.strata.max() + 1):
            rows = [np.flatnonzero((sides.strata == one) & side) for side in (sides.member, ~sides.member)]
            fewer = min(map(len, rows))
            kept[np.concatenate([rng.permutation(side)[:fewer] for side in rows])] = True
        yield kept


def first_likeness(found: Neighbours, kept: np.ndarray) -> np.ndarray:
    """float [M]: likeness of the nearest of the patients kept, bool [P]; of the last one looked at where none is."""
    here = kept[found.patients]
    first = np.where(here.any(axis=1), here.argmax(axis=1), here.shape[1] - 1)
    return np.take_along_axis(found.likeness, first[:, None], axis=1)[:, 0]
