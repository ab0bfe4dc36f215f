"""The tests of a synthetic set that an audit makes, one after the other, on pictures that are in memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cxr.audit.config import DETAILS, KEY_POINTS, AuditConfig
from cxr.audit.duplicates import (
    CopyTest,
    judge_planted,
    judge_scores,
    set_levels,
    share_independent,
    why_too_few,
)
from cxr.audit.exchangeability import (
    NearestTest,
    Neighbours,
    Sides,
    compare_nearest,
    flag_nearest,
    match_sides,
    nearest_patients,
)
from cxr.audit.judge import (
    COPIES,
    COPIES_QUESTION,
    COPIES_RISKS,
    NEAREST,
    NEAREST_QUESTION,
    NEAREST_RISKS,
    judge_copies,
    judge_links,
    judge_nearest,
    untestable,
    untested_links,
)
from cxr.audit.planted import COPIES as KINDS
from cxr.audit.reidentify import FEWEST as SEVERAL
from cxr.audit.reidentify import embed_patients, keep_linked
from cxr.audit.results import AttackResult
from cxr.audit.sets import RealPictures
from cxr.detectors.details import TrainingImageIndex
from cxr.detectors.keypoints import KeyPointIndex
from cxr.detectors.matches import Detector

Advance = Callable[[int], object]
Search = Callable[[np.ndarray], Detector]  # makes pictures, uint8 [N, S, S], ready to be searched
Vectors = Callable[[np.ndarray], np.ndarray]  # float32 [N, d] of uint8 [N, S, S]
NEAREST_STREAM, LINKS_STREAM, COPIES_STREAM, WORDS_STREAM = 0, 50, 100, 200  # of random numbers of a seed
PLANTED = ("the same", "blurred 3 px", "noise 20", "turned 10 degrees", "cropped 20 %", "half", "inverted", "mirrored")


@dataclass(frozen=True)
class CopySearch:
    """What a detector found, for the pictures of the page; `rows` are of the real set's training pictures."""

    name: str
    result: AttackResult
    test: CopyTest | None
    scores: np.ndarray  # float [M]
    rows: np.ndarray  # int [M]


def run_nearest_test(
    by: str, synthetic: np.ndarray, vectors: np.ndarray, real: RealPictures, config: AuditConfig, stream: int,
    advance: Advance,
) -> tuple[AttackResult, np.ndarray]:  # fmt: skip
    """The test of nearest patients, and the pictures bool [M] that it flags.

    Args:
        synthetic: float32 [M, d]; vectors: float32 [N, d], of the real pictures.
        advance: hears the permutations, two times so many where there is a placebo.
    """
    rng = np.random.default_rng([config.seed, NEAREST_STREAM + stream])
    found, sides = find_nearest("train", synthetic, vectors, real, rng)
    if found is None:
        reason = "no test patient is like a training patient in finding and view"
        return untestable(NEAREST.format(by), NEAREST_RISKS, NEAREST_QUESTION, reason), np.zeros(len(synthetic), bool)
    test = compare_nearest(found, sides, config.permutations, config.max_p, rng, advance)
    flagged = flag_nearest(found, sides, config.false_alarms, config.draws, rng)
    placebo: NearestTest | None = None
    others, placebo_sides = find_nearest("validation", synthetic, vectors, real, rng)
    if others is not None:
        placebo = compare_nearest(others, placebo_sides, config.permutations, config.max_p, rng, advance)
    return judge_nearest(by, test, flagged, placebo, sides, config), flagged.pictures


def find_nearest(
    part: str, synthetic: np.ndarray, vectors: np.ndarray, real: RealPictures, rng: np.random.Generator
) -> tuple[Neighbours | None, Sides]:
    """The nearest patients of this part and of the test part, matched; None where none can be matched."""
    rows = real.rows(part, "test")
    patients, first, owners = np.unique(real.patients[rows], return_index=True, return_inverse=True)
    kept, sides = match_sides(real.parts[rows][first] == part, real.strata[rows][first], rng)
    if not len(kept):
        return None, sides
    place = np.full(len(patients), -1)
    place[kept] = np.arange(len(kept))
    compared = place[owners] >= 0
    return nearest_patients(synthetic, vectors[rows[compared]], place[owners][compared]), sides


def run_link_test(
    by: str, synthetic: np.ndarray, features: np.ndarray, real: RealPictures, config: AuditConfig, advance: Advance
) -> AttackResult:
    """Re-identification.

    Args:
        synthetic: float32 [M, d]; features: float32 [N, d], of the real pictures.
        advance: hears the permutations, as in `run_nearest_test`.
    """
    rng = np.random.default_rng([config.seed, LINKS_STREAM])
    owners = np.unique(real.patients, return_inverse=True)[1]
    vectors = embed_patients(features, owners, synthetic, config.false_matches, rng)
    if vectors is None:
        return untested_links(by, f"it takes {SEVERAL} patients with several pictures to learn how patients differ")

    def test(part: str) -> tuple[int, NearestTest | None]:
        found, sides = find_nearest(part, vectors.synthetic, vectors.real, real, rng)
        if found is None:
            return 0, None
        linked = keep_linked(found, vectors)
        if not len(linked.patients) or vectors.linked < config.min_linked:  # a p of too weak an embedder says nothing
            return len(linked.patients), None
        return len(linked.patients), compare_nearest(linked, sides, config.permutations, config.max_p, rng, advance)

    (linked, found), (_, placebo) = test("train"), test("validation")
    return judge_links(by, vectors, linked, len(synthetic), found, placebo, config)


def detectors(config: AuditConfig) -> dict[str, Search]:
    """What makes pictures ready to be searched for near-duplicates, by name."""
    return {
        DETAILS: lambda pixels: TrainingImageIndex(pixels, range(len(pixels))),
        KEY_POINTS: lambda pixels: KeyPointIndex(pixels, np.random.default_rng([config.seed, WORDS_STREAM])),
    }


def search_copies(
    by: str,
    detector: Detector,
    correlations: bool,
    synthetic: np.ndarray,
    real: RealPictures,
    config: AuditConfig,
    advance: Advance,
) -> CopySearch:
    """What a detector of the training pictures says of synthetic pictures, uint8 [M, S, S].

    Args:
        correlations: its scores are such.
        advance: hears the pictures that were looked up, `count_lookups(...)`.
    """
    train, test = real.rows("train"), real.rows("test")
    found = detector.nearest(synthetic, advance=advance)
    if reason := why_too_few(len(test), config.false_alarms):
        result = untestable(COPIES.format(by), COPIES_RISKS, COPIES_QUESTION, reason)
        return CopySearch(by, result, None, found.scores, train[found.rows])
    controls = detector.nearest(real.pixels[test], advance=advance).scores
    independent = share_independent(real.patients[test])
    levels = set_levels(controls, config.false_alarms, len(synthetic), config.max_p, correlations, independent)
    rng = np.random.default_rng([config.seed, COPIES_STREAM])  # every detector is given the same copies
    planted = {}
    for kind in PLANTED:
        rows, copies = plant(kind, real, config.planted, rng)
        planted[kind] = judge_planted(detector.nearest(copies, advance=advance), rows, levels)
    judged = judge_scores(found.scores, levels, planted, config.max_p)
    return CopySearch(by, judge_copies(by, judged, config), judged, found.scores, train[found.rows])


def plant(kind: str, real: RealPictures, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """So many copies of a kind, uint8 [count, S, S], and their originals' rows among the training pictures, int."""
    train, test = real.rows("train"), real.rows("test")
    rows, others = rng.integers(len(train), size=count), rng.integers(len(test), size=count)
    copies = [KINDS[kind](real.pixels[train[row]], real.pixels[test[other]], rng)
              for row, other in zip(rows, others, strict=True)]  # fmt: skip
    return rows, np.stack(copies)


def count_lookups(synthetic: int, real: RealPictures, config: AuditConfig) -> int:
    """How many pictures `search_copies` looks up."""
    test = len(real.rows("test"))
    calibrated = 0 if why_too_few(test, config.false_alarms) else test + config.planted * len(PLANTED)
    return synthetic + calibrated
