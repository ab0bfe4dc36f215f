"""Is a synthetic picture a copy of a training picture? Its most similar ones are nominated, aligned and correlated.

Amplitude spectra nominate: they do not move with the picture, and dividing by their length takes contrast out. What is
correlated are details, a picture less a blurred one, which leaves out what all chests share; the best of a window of
shifts, of three sizes and of both orientations counts.

Measured at 128 px on nih-cxr (773 pictures of 531 patients) and 900 phantoms, 100 copies of a kind, with 1 % false
alarms. By spectrum the original is among the first ten for every copy shifted by up to 5 %, mirrored, JPEG-ed, 5 %
larger or smaller, turned by 2 degrees, with other contrast, noise, blur, or from an autoencoder; by features of the
embedded extractor it is for 4 % (nih-cxr) and 41 % (phantoms) of copies with 0.6 of the contrast, so they do not
nominate. All of these copies of X-rays are found, half of those 10 % larger, 6 % of those turned by 5 degrees. Phantoms
are more alike (another's correlates by 0.97, an X-ray of another patient by 0.75): identical, contrast, JPEG, mirrored
and 3 % shifted copies are all found, 87 % of blurred ones, a quarter of those 5 % smaller, none of those turned.
"""

import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from cxr.data.images import fit
from cxr.evaluate.config import FALSE_ALARMS, LEAST_TRAIN
from cxr.evaluate.rates import Rate, rate
from cxr.evaluate.sets import Pictures

SIDE = 128  # px that pictures are compared at
SMOOTH, BLUR = 1.0, 5.0  # px; details are what lies between
MARGIN = 8  # px, the largest shift
ZOOMS = (1.0, 0.96, 1.04)
WAVES = 16  # across the picture, up to which spectra are compared
NOMINATED = 10
MIN_CONTRAST = 0.5  # gray levels, of details; every X-ray of nih-cxr has 4.6 at least
QUERIES = 256  # at once
WINDOW = np.outer(np.hanning(SIDE), np.hanning(SIDE)).astype(np.float32)


@dataclass(frozen=True)
class Matches:
    """For each query the training picture that is most like it."""

    scores: np.ndarray  # float32 [Q], correlation of aligned details; -1 where every training picture was left out
    rows: np.ndarray  # int [Q], of the training picture
    mirrored: np.ndarray  # bool [Q]


class Originals:
    """The training pictures, ready to be searched: 34 kB each."""

    def __init__(self, pixels: np.ndarray, groups: Sequence[Hashable]) -> None:
        """Of uint8 [N, H, W]; `groups` says whose each is, and a query of the same group does not match it."""
        cv2.setNumThreads(1)  # pictures are searched side by side, and OpenCV's own threads would wait for each other
        self.details = np.stack([detail(picture).astype(np.float16) for picture in pixels])
        raw = np.stack([spectrum(one.astype(np.float32)) for one in self.details])
        self.middle = raw.mean(axis=0)
        self.spectra = unit(raw - self.middle)
        numbers: dict[Hashable, int] = {}
        self.groups = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
        self.numbers = numbers

    def nearest(
        self,
        pixels: np.ndarray,
        groups: Sequence[Hashable | None] | None = None,
        advance: Callable[[int], object] = lambda count: None,
    ) -> Matches:
        """Of queries uint8 [Q, H, W], whose own group is left out where `groups` names it."""
        own = np.array([self.numbers.get(group, -1) for group in groups or [None] * len(pixels)])
        found: list[tuple[float, int, bool]] = []
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for start in range(0, len(pixels), QUERIES):
                part = slice(start, start + QUERIES)
                found += threads.map(self.best, pixels[part], *self.nominate(pixels[part], own[part]))
                advance(len(pixels[part]))
        return Matches(*(np.array(column) for column in zip(*found, strict=True)))

    def nominate(self, pixels: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows int [Q, K] of the training pictures with the nearest spectra, and whether mirrored, bool [Q, K]."""
        views = [pixels, pixels[:, :, ::-1]]
        alike = [unit(np.stack([spectrum(detail(p)) for p in view]) - self.middle) @ self.spectra.T for view in views]
        similarity = np.maximum(*alike)
        similarity[own[:, None] == self.groups] = -np.inf
        rows = np.argsort(-similarity, axis=1, kind="stable")[:, :NOMINATED]
        similar = np.take_along_axis(similarity, rows, axis=1)
        mirrored = np.take_along_axis(alike[1] > alike[0], rows, axis=1)
        return np.where(np.isfinite(similar), rows, -1), mirrored

    def best(self, picture: np.ndarray, rows: np.ndarray, mirrored: np.ndarray) -> tuple[float, int, bool]:
        """Score, row and orientation of the best of the nominated; rows of -1 are none."""
        views = {flip: zoomed(picture[:, ::-1] if flip else picture) for flip in set(mirrored.tolist())}
        scored = [
            (self.correlation(views[flip], row), row, flip)
            for row, flip in zip(rows.tolist(), mirrored.tolist(), strict=True)
            if row >= 0
        ]
        return max(scored, default=(-1.0, 0, False))

    def relatives(self, pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Of training pictures int [R] the best score with another of the same group, float; those without are left
        out. `pixels` are all training pictures."""
        scores = []
        for row in rows:
            others = np.flatnonzero(self.groups == self.groups[row])
            others = others[others != row]
            if len(others):
                both = np.repeat([False, True], len(others))
                scores.append(self.best(pixels[row], np.tile(others, 2), both)[0])
        return np.array(scores)

    def correlation(self, view: list[np.ndarray], row: int) -> float:
        """The best over sizes and shifts; 0 where either is flat, whose correlation would be a quotient of nothings."""
        original = self.details[row].astype(np.float32)
        if min(original.std(), *(patch.std() for patch in view)) < MIN_CONTRAST:
            return 0.0
        return max(float(cv2.matchTemplate(original, patch, cv2.TM_CCOEFF_NORMED).max()) for patch in view)


def detail(picture: np.ndarray) -> np.ndarray:
    """float32 [SIDE, SIDE] of uint8 [H, W]: what is neither noise nor what all chests share."""
    light = fit(picture, SIDE, "keep").astype(np.float32)
    return cv2.GaussianBlur(light, (0, 0), SMOOTH) - cv2.GaussianBlur(light, (0, 0), BLUR)


def spectrum(details: np.ndarray) -> np.ndarray:
    """float32 [2 WAVES^2] of length 1: square roots of the amplitudes of the lowest frequencies, of either slant."""
    low = np.abs(np.fft.fft2(details * WINDOW))[:WAVES]
    return unit(np.sqrt(np.concatenate([low[:, :WAVES], low[:, -WAVES:]], axis=1)).ravel().astype(np.float32))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def zoomed(picture: np.ndarray) -> list[np.ndarray]:
    """The inner part of the details of the picture in each size."""
    inner, middle = slice(MARGIN, -MARGIN), (SIDE - 1) / 2
    picture = np.ascontiguousarray(fit(np.ascontiguousarray(picture), SIDE, "keep"))
    turns = [cv2.getRotationMatrix2D((middle, middle), 0, zoom) for zoom in ZOOMS]
    sizes = [cv2.warpAffine(picture, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE) for turn in turns]
    return [np.ascontiguousarray(detail(size)[inner, inner]) for size in sizes]


# --- how many ---


@dataclass(frozen=True)
class Copies:
    """How many synthetic pictures are more like a training picture than real pictures of other patients are."""

    threshold: float
    rate: Rate
    findings: dict[str, Rate]
    originals: int  # training pictures
    copied: int  # of these, how many have a copy
    calibrated_on: int  # training pictures, of which 1 % are as like one of another patient
    held_out: Rate | None  # the same of real pictures that are in no train part; they cannot be copies
    same_patient: Rate | None  # of training pictures, to another of the same patient
    patients_known: bool
    beyond_chance: bool  # surely more than the 1 % that pictures which are no copies give


def find_copies(
    real: Pictures,
    synthetic: Pictures,
    most: int,
    rng: np.random.Generator,
    advance: Callable[[int], object] = lambda count: None,
) -> tuple[Copies, Matches, np.ndarray]:
    """Of each synthetic picture the nearest training picture (rows of `real`), and whether it is too near; last the
    scores of training pictures to one of another patient, by which that is judged.

    Args:
        most: real pictures of each kind that are looked at for comparison, drawn at random.
        advance: hears of each picture that was looked up: `searched(...)` of them.
    """
    train, held_out = real.part("train"), real.part("validation", "test")
    originals = Originals(real.pixels[train], real.patients[train].tolist())
    calibration, fresh = (rng.permutation(rows)[:most] for rows in (np.arange(len(train)), held_out))
    unrelated = originals.nearest(real.pixels[train[calibration]], real.patients[train[calibration]].tolist(), advance)
    level = threshold(unrelated.scores)
    scores = originals.nearest(real.pixels[fresh], advance=advance).scores if len(fresh) else None
    related = originals.relatives(real.pixels[train], calibration)
    found = originals.nearest(synthetic.pixels, advance=advance)
    hits = found.scores > level
    copies = Copies(
        threshold=level,
        rate=rate(hits),
        findings={str(name): rate(hits[synthetic.findings == name]) for name in np.unique(synthetic.findings)},
        originals=len(train),
        copied=len(np.unique(found.rows[hits])),
        calibrated_on=len(calibration),
        held_out=None if scores is None else rate(scores > level),
        same_patient=rate(related > level) if len(related) else None,
        patients_known=not np.array_equal(real.patients[train], real.ids[train]),
        beyond_chance=rate(hits).low > FALSE_ALARMS,
    )
    return copies, Matches(found.scores, train[found.rows], found.mirrored), unrelated.scores


def searched(real: Pictures, synthetic: Pictures, most: int) -> int:
    """How many pictures `find_copies` looks up."""
    parts = real.part("train"), real.part("validation", "test")
    return sum(min(most, len(rows)) for rows in parts) + len(synthetic.ids)


def threshold(scores: np.ndarray) -> float:
    """Above which 1 % of real pictures with nothing to do with the training pictures score.

    Args:
        scores: float [N], of real pictures to their nearest training picture of another patient.
    """
    if len(scores) < LEAST_TRAIN:
        raise ValueError(f"{len(scores)} scores, not {LEAST_TRAIN} at least")
    return float(np.quantile(scores, 1 - FALSE_ALARMS, method="higher"))
