"""How many synthetic pictures a detector calls copies of training pictures, and whether that is more than chance.

A detector scores a picture by its best match among the training pictures. The test patients' pictures, which can be
copies of none, say which scores chance gives. From them come two levels: a threshold that 1 % of them pass, above which
a picture is shown as a near-duplicate, and a much higher one that no picture of a whole set would pass by chance but in
one set of 200, so that one clear copy is enough to find a leak.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import betabinom, binom, chi2

from cxr.audit.config import POWER
from cxr.detectors.matches import Matches

TAIL = 0.1  # share of the highest scores whose tail is extrapolated
CONFIDENCE = 0.95  # that the tail is no longer than assumed


@dataclass(frozen=True)
class Levels:
    """What scores mean, from those of pictures that are no copies."""

    threshold: float  # a share of `rank` / (`controls` + 1) of such pictures is above
    clear: float  # none of a set is above, but by a chance of half the limit
    rank: int
    controls: int
    independent: float = 1.0  # how many patients of one picture each tell as much as a control, see `share_independent`

    def chances(self, pictures: int) -> np.ndarray:
        """float [pictures + 1]: how often k pictures, or more, of a set that has none are above the threshold, for
        each k. The share of them that is above has a Beta distribution, because the threshold is one of the controls'
        scores (Wilks 1941, Ann. Math. Stat. 12, 91); a wider one of the same mean where fewer controls tell as much."""
        counts, above, below = np.arange(pictures + 1), self.rank, self.controls + 1 - self.rank
        chances = betabinom.pmf(counts, pictures, above * self.independent, below * self.independent)
        return np.minimum(np.cumsum(chances[::-1])[::-1], 1)


@dataclass(frozen=True)
class Planted:
    """How many copies of a kind a detector finds: planted from this set's own training pictures."""

    above_threshold: float  # share; with the right original
    clear: float


@dataclass(frozen=True)
class CopyTest:
    """What a detector says of a set."""

    levels: Levels
    flagged: np.ndarray  # bool [M], above the threshold
    clear: np.ndarray  # bool [M]
    p: float  # of so many flagged
    planted: dict[str, Planted]  # by kind of copy
    detectable: float  # share of copies in the set that would be found with POWER; infinite: all would not be

    def found(self, max_p: float) -> bool:
        """Whether there is a leak: each of the two ways has half of the limit."""
        return bool(self.clear.any()) or self.p < max_p / 2


def controls_needed(false_alarms: float) -> int:
    """Test pictures, so that this share of them is one picture."""
    return int(np.ceil(1 / false_alarms - 1e-9)) - 1


def why_too_few(test: int, false_alarms: float) -> str:
    """Why no detector can flag with so many test pictures; empty if it can."""
    needed = controls_needed(false_alarms)
    if test >= needed:
        return ""
    return (
        f"{test:,} test pictures are too few to say which likeness {100 * false_alarms:g} % of pictures reach by "
        f"chance; {needed:,} are needed"
    )


def share_independent(patients: np.ndarray) -> float:
    """Of pictures of these patients, str [C], how many patients of one picture each tell as much, over C, where a
    patient's pictures all tell the same (effective sample size, Kish 1965, Survey Sampling)."""
    counts = np.unique(patients, return_counts=True)[1]
    return float(len(patients) / np.sum(counts**2))


def set_levels(
    scores: np.ndarray, false_alarms: float, pictures: int, max_p: float, correlations: bool = False,
    independent: float = 1.0,
) -> Levels:  # fmt: skip
    """From the scores of test patients' pictures, float [C], C at least `controls_needed(false_alarms)`.

    The clear level extrapolates an exponential tail from the highest tenth of the scores (Coles 2001, An Introduction
    to Statistical Modeling of Extreme Values, chapter 4, with shape 0), whose mean is taken at its upper bound. Counts
    that are alike hide how long the tail is, so a count stands for up to half of one more (continuity correction).

    Args:
        pictures: of the set that is to be judged.
        correlations: the scores are such; their tail, which ends at 1, is extrapolated as Fisher's z, which has no end.
            Others are counts.
        independent: `share_independent` of the pictures' patients; 1: each has one picture.
    """
    ordered = np.sort(np.arctanh(np.clip(scores, -0.999, 0.999)) if correlations else scores)[::-1]
    rank = int(false_alarms * (len(scores) + 1) + 1e-9)
    count = max(int(TAIL * len(scores)), 1)
    excess = float(np.mean(ordered[:count] - ordered[count])) + (0 if correlations else 0.5)
    seen = 2 * count * independent
    longest = seen * excess / float(chi2.ppf(1 - CONFIDENCE, seen))
    clear = float(ordered[count]) + longest * np.log(pictures * count / len(scores) / (max_p / 2))
    levels = float(ordered[rank - 1]), max(clear, float(ordered[0]))
    threshold, highest = map(float, np.tanh(levels)) if correlations else levels
    return Levels(threshold, highest, rank, len(scores), independent)


def judge_scores(scores: np.ndarray, levels: Levels, planted: dict[str, Planted], max_p: float) -> CopyTest:
    """Of a set's scores, float [M]."""
    flagged, clear = scores > levels.threshold, scores > levels.clear
    return CopyTest(
        levels, flagged, clear, float(levels.chances(len(scores))[flagged.sum()]), planted,
        detectable_copies(levels, len(scores), planted, max_p),
    )  # fmt: skip


def judge_planted(found: Matches, rows: np.ndarray, levels: Levels) -> Planted:
    """Of planted copies, whose originals are `rows`, int [Q]."""
    right = found.rows == rows
    return Planted(float((right & (found.scores > levels.threshold)).mean()),
                   float((right & (found.scores > levels.clear)).mean()))  # fmt: skip


def detectable_copies(levels: Levels, pictures: int, planted: dict[str, Planted], max_p: float) -> float:
    """The least share of copies, of the planted kinds in equal parts, by which a set is found to leak with `POWER`."""
    flagged = np.mean([one.above_threshold for one in planted.values()])
    clear = np.mean([one.clear for one in planted.values()])
    copies = np.arange(pictures + 1)
    no_clear = (1 - clear) ** copies
    by_chance = (levels.rank / (levels.controls + 1)) * (pictures - copies)
    needed = np.sum(levels.chances(pictures) >= max_p / 2)  # the least number flagged that is more than chance
    few = binom.cdf(np.ceil(needed - by_chance) - 1, copies, flagged)
    enough = no_clear * few <= 1 - POWER
    return float(copies[enough][0] / pictures) if enough.any() else np.inf
