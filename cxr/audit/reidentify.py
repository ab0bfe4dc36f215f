"""Can a synthetic picture be linked to other X-rays of a training patient? Needs patients with several pictures.

X-rays of one patient can be recognised as such (Packhaeuser et al. 2022, Sci. Rep. 12, 14851). So an embedder of
patients is made from the real set: linear discriminant analysis of an extractor's features, with patients as classes.
No patient is judged by an embedder that has seen them: patients are dealt to folds, and those of a fold are embedded by
what the others taught. Its links of real pictures, at the rate of false ones that is allowed, say whether it can be
relied on.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.stats import binom, norm
from sklearn.covariance import LedoitWolf

from cxr.audit.exchangeability import POWER, Neighbours

FOLDS = 5
FEWEST = 20  # patients with several pictures, to learn from and to be measured on
DIMENSIONS = 64  # of an embedder, at most


@dataclass(frozen=True)
class PatientVectors:
    """Vectors of which a product is the likeness of two pictures by the embedder of the real one's fold: a real
    picture's is of length 1 and has only the part of its fold, a synthetic one's has all parts, each of length 1."""

    real: np.ndarray  # float32 [N, FOLDS * d]
    synthetic: np.ndarray  # float32 [M, FOLDS * d]
    threshold: float  # likeness that only the allowed share of pairs of different patients is above
    linked: float  # share of pairs of one patient's pictures above it, the mean over patients
    patients: int  # with several pictures


def embed_patients(
    real: np.ndarray, owners: np.ndarray, synthetic: np.ndarray, false_matches: float, rng: np.random.Generator
) -> PatientVectors | None:
    """None where fewer than `FEWEST` patients have several pictures.

    Args:
        real: float32 [N, D], an extractor's features; synthetic: float32 [M, D].
        owners: int [N], the patient of each real picture, each of 0 to P-1.
        false_matches: share of pairs of different patients above the threshold.
    """
    pictures = np.bincount(owners)
    several = np.flatnonzero(pictures > 1)
    if len(several) < FEWEST:
        return None
    folds = deal_patients(pictures, rng)[owners]
    size = min(DIMENSIONS, real.shape[1], len(several) - -(-len(several) // FOLDS) - 1)
    known, shown = (np.zeros((len(vectors), FOLDS, size), np.float32) for vectors in (real, synthetic))
    for fold in range(FOLDS):
        judged = folds == fold
        taught = ~judged & (pictures[owners] > 1)
        middle, axes = real[~judged].mean(axis=0), discriminant_axes(real[taught], owners[taught], size)
        known[judged, fold] = unit_length((real[judged] - middle) @ axes)
        shown[:, fold] = unit_length((synthetic - middle) @ axes)
    known = known.reshape(len(real), -1)
    same, different = compare_pairs(known, owners, folds)
    threshold = float(np.quantile(different, 1 - false_matches, method="higher"))
    linked = np.mean([(likeness > threshold).mean() for likeness in same])
    return PatientVectors(known, shown.reshape(len(synthetic), -1), threshold, float(linked), len(several))


def deal_patients(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A fold for each patient, int [P], by how many pictures each has: those with several are dealt evenly."""
    folds = np.empty(len(pictures), int)
    for group in (pictures > 1, pictures < 2):
        folds[rng.permutation(np.flatnonzero(group))] = np.arange(group.sum()) % FOLDS
    return folds


def discriminant_axes(pictures: np.ndarray, owners: np.ndarray, count: int) -> np.ndarray:
    """Fisher's: along which patients differ most, measured by how much the pictures of one differ; float [D, count].

    The correlation within patients is shrunk (Ledoit and Wolf 2004), over all of them together: scikit-learn's
    LinearDiscriminantAnalysis does so for each by itself, of whom we have two or three pictures.
    """
    patients = np.unique(owners, return_inverse=True)[1]
    means = np.stack([pictures[patients == one].mean(axis=0) for one in range(patients.max() + 1)])
    within = pictures - means[patients]
    scale = within.std(axis=0).clip(1e-6)
    correlation = LedoitWolf(assume_centered=True).fit(within / scale).covariance_
    last = pictures.shape[1] - 1
    axes = eigh(np.cov((means / scale).T), correlation, subset_by_index=(last - count + 1, last))[1]
    return axes / scale[:, None]


def unit_length(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)


def compare_pairs(vectors: np.ndarray, owners: np.ndarray, folds: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Likeness of all pairs of one patient's pictures, of each patient who has several; and of all pairs of different
    patients of a fold."""
    same, different = [], []
    for fold in np.unique(folds):
        here = np.flatnonzero(folds == fold)
        likeness, patients = vectors[here] @ vectors[here].T, owners[here]
        above = np.triu(np.ones(likeness.shape, bool), 1)
        alike = patients[:, None] == patients
        different.append(likeness[above & ~alike])
        pairs = above & alike
        same += [likeness[pairs & (patients == one)] for one in np.unique(patients[pairs.any(axis=1)])]
    return same, np.concatenate(different)


def keep_linked(found: Neighbours, vectors: PatientVectors) -> Neighbours:
    """Of the pictures whose nearest patient is above the threshold. `found` is of these vectors."""
    product = (found.likeness[:, 0] + 1 + FOLDS) / 2  # likeness there is minus the squared distance
    linked = product > vectors.threshold
    return Neighbours(found.patients[linked], found.likeness[linked])


def detectable_links(linked: int, pictures: int, recall: float, max_p: float) -> float:
    """The share of all pictures that must each show a training patient of its own to be found with `POWER` among
    `linked` others, which are of either side by chance; infinite where all of them would not do. Approximate.

    Args:
        recall: how many of those that show a patient are linked.
    """
    shown = np.arange(1, pictures + 1)
    found = shown * recall
    needed = binom.isf(max_p, linked + np.round(found), 0.5) + 1
    scatter = np.sqrt(linked / 4 + found * (1 - recall)).clip(1e-9)
    enough = (linked / 2 + found - needed + 0.5) / scatter >= norm.ppf(POWER)
    return float(shown[enough][0] / pictures) if enough.any() else np.inf
