"""All tests of an audit, one after the other, on pictures that are in memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cxr.audit.attacked import AttackedModel, PairedPictures
from cxr.audit.config import AuditConfig
from cxr.audit.denoising import ModelErrors, load_model, measure_errors, score_pictures
from cxr.audit.duplicates import (
    CopyTest,
    Detector,
    controls_needed,
    judge_planted,
    judge_scores,
    set_levels,
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
    judge_membership,
    judge_nearest,
    untestable,
)
from cxr.audit.membership import compare_members, split_halves
from cxr.audit.planted import COPIES as KINDS
from cxr.audit.results import AttackResult
from cxr.audit.sets import RealPictures

Advance = Callable[[int], object]
Vectors = Callable[[np.ndarray], np.ndarray]  # float32 [N, d] of uint8 [N, S, S]
NEAREST_STREAM, COPIES_STREAM, PAIRS_STREAM, MEMBERSHIP_STREAM = 0, 100, 300, 301  # of random numbers of a seed
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
    needed = controls_needed(config.false_alarms)
    if len(test) < needed:
        reason = (
            f"{len(test):,} test pictures are too few to say which likeness {100 * config.false_alarms:g} % of "
            f"pictures reach by chance; {needed:,} are needed"
        )
        result = untestable(COPIES.format(by), COPIES_RISKS, COPIES_QUESTION, reason)
        return CopySearch(by, result, None, found.scores, train[found.rows])
    controls = detector.nearest(real.pixels[test], advance=advance).scores
    levels = set_levels(controls, config.false_alarms, len(synthetic), config.max_p, correlations)
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
    calibrated = test + config.planted * len(PLANTED) if test >= controls_needed(config.false_alarms) else 0
    return synthetic + calibrated


def attack_model(
    model: AttackedModel, pictures: PairedPictures, pixels: np.ndarray, config: AuditConfig, advance: Advance
) -> list[AttackResult]:
    """Membership inference by each score.

    Args:
        pixels: uint8 [N, S, S], of the pictures.
        advance: hears the pictures, each once for the base and once for the model.
    """
    errors: list[ModelErrors] = []
    for tuned in (None, model.tuned):  # one after the other: two may not fit
        captions = pictures.rows["caption"].to_pylist()
        errors.append(measure_errors(load_model(model.base, tuned), pixels, captions, config.seed, advance))
    return judge_scores_of_members(score_pictures(*errors), -errors[0].plain.mean(axis=1), pictures, config)


def judge_scores_of_members(
    scores: dict[str, np.ndarray], base: np.ndarray, pictures: PairedPictures, config: AuditConfig
) -> list[AttackResult]:
    """Of scores by name, each float [N].

    Args:
        base: the score of the base model alone, float [N].
    """
    rng = np.random.default_rng([config.seed, MEMBERSHIP_STREAM])
    owners, member = pictures.owners, pictures.member
    tested = ~member[owners]  # pictures
    half = np.zeros(len(member), bool)
    half[~member] = split_halves(pictures.strata[~member], rng)
    of_base = compare_members(base, owners, member, config.resamples, rng)
    results = []
    for by, score in scores.items():
        found = compare_members(score, owners, member, config.resamples, rng)
        placebo = compare_members(score[tested], owners[tested], half, config.resamples, rng)
        results.append(judge_membership(by, found, placebo, of_base, int(member.sum()), config))
    return results
