"""Which likeness flags a near-duplicate, how often one that is none is flagged, and whether a set has more of them.

The threshold is a quantile of a sample, so the share of innocent pictures above it is not 1 % but unknown, with a Beta
distribution: over 300 pictures 0.2 to 2.4 %. And one threshold serves every set that is compared with the same training
pictures, all nights of a nightly job: a low one would fail them all. So what is flagged is compared with the upper 95 %
bound of that share (a tolerance bound, Wilks 1941), not against 1 %. Simulated for 100, 300 and 1,000 calibration
pictures and sets of 100 to 12,000: at most 4 % of innocent sets are found to have more than chance, and on 95 % of all
thresholds at most 2.5 % of the sets that meet it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import beta, binom, norm

from cxr.detectors.details import TrainingImageIndex
from cxr.detectors.matches import Matches
from cxr.evaluate.config import FALSE_ALARMS, HELD_OUT, LEAST_TRAIN, PARTS
from cxr.evaluate.rates import Rate, rate
from cxr.evaluate.sets import ImageSet, Labelling

SURE = 0.95  # that the share of innocent pictures above the threshold is below its bound
SIGNIFICANT = 0.025  # share of innocent sets with more than chance, were the bound their share
LOWER = 0.10, 0.35  # quantiles of likeness that pairs of one patient hardly reach


@dataclass(frozen=True)
class Chance:
    """How often a picture that is no near-duplicate is flagged: a Beta distribution, in pictures that were seen."""

    flagged: float
    others: float

    @property
    def share(self) -> float:
        return self.flagged / (self.flagged + self.others)

    def most(self, total: int) -> int:
        """As many of so many innocent pictures can be flagged by chance."""
        return int(binom.ppf(1 - SIGNIFICANT, total, beta.ppf(SURE, self.flagged, self.others)))

    def updated(self, count: int, total: int, worth: float) -> "Chance":
        """With so many flagged of further pictures, each worth so much of an independent one."""
        return Chance(self.flagged + worth * count, self.others + worth * (total - count))


@dataclass(frozen=True)
class CopyCalibration:
    """The training pictures, and how like them real pictures are that are no copies."""

    index: TrainingImageIndex
    rows: np.ndarray  # int [T], where in the real set the training pictures are
    threshold: float | None  # None where there are too few training pictures to tell
    unrelated: np.ndarray  # float32 [C], scores of training pictures to the nearest one of another patient
    chance: Chance
    held_out: Rate | None
    same_patient: Rate | None
    patients_known: bool


@dataclass(frozen=True)
class Copies:
    """How many synthetic pictures are more like a training picture than real pictures of other patients are."""

    threshold: float
    rate: Rate
    findings: dict[str, Rate]
    expected: float  # pictures that would be flagged by chance
    most_by_chance: int
    originals: int  # training pictures
    copied: int  # of these, how many have a near-duplicate
    calibrated_on: int  # training pictures, of which 1 % are as like one of another patient
    held_out: Rate | None  # the same of real pictures that are in no train part; they cannot be copies
    same_patient: Rate | None  # of training pictures, to another of the same patient
    patients_known: bool
    beyond_chance: bool  # surely more than pictures that are no copies give


def calibrate(
    real: ImageSet, most: int, rng: np.random.Generator, advance: Callable[[int], object] = lambda count: None
) -> CopyCalibration:
    """From the real set's train part, and what is in no train part.

    Args:
        most: real pictures of each kind that are looked at, drawn at random.
        advance: is called for each picture that was looked up: `count_lookups(...)` of them.
    """
    train, held_out = real.part("train"), real.part(*PARTS[HELD_OUT])
    pixels, patients = real.read(train), real.patients[train]
    known = not np.array_equal(patients, real.ids[train])
    index = TrainingImageIndex(pixels, patients.tolist())
    chosen, fresh = (rng.permutation(rows)[:most] for rows in (np.arange(len(train)), held_out))
    found = index.nearest(pixels[chosen], patients[chosen].tolist(), advance)
    scores = index.nearest(real.read(fresh), advance=advance).scores if len(fresh) else np.empty(0, np.float32)
    if why_too_few(len(train)):
        return CopyCalibration(index, train, None, found.scores, Chance(0, 0), None, None, known)
    level = threshold(found.scores, known)
    chance = chance_of(found, chosen, index.groups, level) if known else assumed_chance(len(chosen))
    hits, related = scores > level, index.relatives(pixels, chosen)
    if known and len(fresh):
        chance = chance.updated(int(hits.sum()), len(hits), len(set(real.patients[fresh])) / len(fresh))
    return CopyCalibration(
        index=index,
        rows=train,
        threshold=level,
        unrelated=found.scores,
        chance=chance,
        held_out=rate(hits, real.patients[fresh]) if len(fresh) else None,
        same_patient=rate(related > level) if len(related) else None,
        patients_known=known,
    )


def why_too_few(train: int) -> str:
    """Why near-duplicates of so many training pictures cannot be told; empty if they can."""
    reason = f"{train} training pictures, where telling near-duplicates takes {LEAST_TRAIN}"
    return reason if train < LEAST_TRAIN else ""


def count_lookups(real: ImageSet, most: int) -> int:
    """How many pictures `calibrate` looks up."""
    return sum(min(most, len(real.part(*PARTS[part]))) for part in ("train", HELD_OUT))


def threshold(scores: np.ndarray, patients_known: bool = True) -> float:
    """Above which about 1 % of real pictures with nothing to do with the training pictures score.

    Where patients are not known, the most alike pictures may be of one patient, and lift the quantile: it was 0.84 in
    place of 0.75 on nih-cxr without its patients. So it is then no higher than what the lower third of the scores,
    which such pairs hardly reach, lets expect of a normal distribution (0.75 there). Scores that lie skewed to the
    left, as those of phantoms, keep their quantile.

    Args:
        scores: float [N], of real pictures to their nearest training picture of another patient.
    """
    if len(scores) < LEAST_TRAIN:
        raise ValueError(f"{len(scores)} scores, not {LEAST_TRAIN} at least")
    level = float(np.quantile(scores, 1 - FALSE_ALARMS, method="higher"))
    if patients_known:
        return level
    (low, middle), (z_low, z_middle) = np.quantile(scores, LOWER), norm.ppf(LOWER)
    slope = (middle - low) / (z_middle - z_low)
    return min(level, float(middle + (norm.ppf(1 - FALSE_ALARMS) - z_middle) * slope))


def chance_of(found: Matches, queries: np.ndarray, groups: np.ndarray, level: float) -> Chance:
    """What the calibration pictures themselves say. Two that are alike are each other's nearest, and several pictures
    of a patient are alike to the same one: what hangs together counts once, and the others by as much less.

    Args:
        queries: int [C], the training pictures' numbers; groups: int [T], the patient of each training picture.
    """
    pairs = np.sort(np.stack([queries, found.rows], axis=1), axis=1)
    high = {tuple(pair) for pair in pairs[found.scores >= level].tolist()}
    alike = np.array([tuple(pair) in high for pair in pairs.tolist()])  # also the other's view, a little below
    ends = groups[pairs[alike]].T
    graph = coo_array((np.ones(len(ends[0])), tuple(ends)), shape=(groups.max() + 1,) * 2)
    labels = connected_components(graph, directed=False)[1]
    count = len(np.unique(labels[ends[0]]))
    return Chance(count, (len(queries) - alike.sum() + 1) * count / alike.sum())


def assumed_chance(count: int) -> Chance:
    """Where pairs of one patient hide among them: the threshold taken at its word, each two pictures for one."""
    return Chance(FALSE_ALARMS * count / 2, (1 - FALSE_ALARMS) * count / 2)


def count_copies(known: CopyCalibration, labels: Labelling, found: Matches) -> Copies | None:
    """Of synthetic pictures, from their labels and their nearest training pictures; None where it cannot be told."""
    if known.threshold is None:
        return None
    hits = found.scores > known.threshold
    most = known.chance.most(len(hits))
    return Copies(
        threshold=known.threshold,
        rate=rate(hits),
        findings={name: rate(hits[labels.shows(name)]) for name in labels.names if labels.shows(name).any()},
        expected=known.chance.share * len(hits),
        most_by_chance=most,
        originals=len(known.rows),
        copied=len(np.unique(found.rows[hits])),
        calibrated_on=len(known.unrelated),
        held_out=known.held_out,
        same_patient=known.same_patient,
        patients_known=known.patients_known,
        beyond_chance=bool(hits.sum() > most),
    )


def flag_copies(scores: np.ndarray, level: float | None) -> list[bool | None]:
    """Of each synthetic picture; None where it cannot be told."""
    return [None] * len(scores) if level is None else [bool(score > level) for score in scores]
