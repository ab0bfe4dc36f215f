"""All tests of an audit, one after the other, on pictures that are in memory."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cxr.audit.attacked import (
    AttackedModel,
    ExtractionTargets,
    PairedPictures,
    PatientPictures,
    choose_canaries,
    choose_pairs,
    choose_targets,
)
from cxr.audit.config import AuditConfig
from cxr.audit.denoising import PIA, PLAIN, RELATIVE, load_model, measure_errors, score_pictures
from cxr.audit.duplicates import (
    CopyTest,
    Detector,
    controls_needed,
    judge_planted,
    judge_scores,
    set_levels,
    why_too_few,
)
from cxr.audit.epsilon import DELTA, guess_canaries
from cxr.audit.exchangeability import (
    NearestTest,
    Neighbours,
    Sides,
    compare_nearest,
    flag_nearest,
    match_sides,
    nearest_patients,
)
from cxr.audit.extraction import compare_sides, match_own, sample_captions
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
from cxr.audit.judge_extraction import judge_extracted, judge_extraction, untested_extracted, untested_extraction
from cxr.audit.judge_model import (
    NO_CANARIES,
    judge_canaries,
    judge_membership,
    judge_promise,
    untested_canaries,
    untested_membership,
)
from cxr.audit.membership import FEWEST, compare_members, split_halves
from cxr.audit.planted import COPIES as KINDS
from cxr.audit.reidentify import FEWEST as SEVERAL
from cxr.audit.reidentify import embed_patients, keep_linked
from cxr.audit.results import AttackResult
from cxr.audit.sets import RealPictures

Advance = Callable[[int], object]
Read = Callable[[pa.Table], np.ndarray]
Follow = Callable[[int], AbstractContextManager[Advance]]
Search = Callable[[np.ndarray], Detector]  # makes pictures, uint8 [N, S, S], ready to be searched
Vectors = Callable[[np.ndarray], np.ndarray]  # float32 [N, d] of uint8 [N, S, S]
NEAREST_STREAM, LINKS_STREAM, COPIES_STREAM = 0, 50, 100  # of random numbers of a seed
PAIRS_STREAM, MEMBERSHIP_STREAM, EXTRACTION_STREAM, SIDES_STREAM = 300, 301, 302, 303
BASE = "base"  # its score
PLANTED = ("the same", "blurred 3 px", "noise 20", "turned 10 degrees", "cropped 20 %", "half", "inverted", "mirrored")
SAMPLED = "the same", "blurred 3 px", "noise 20"  # copies as a model samples them


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
    calibrated = 0 if why_too_few(test, config.false_alarms) else test + config.planted * len(PLANTED)
    return synthetic + calibrated


def attack_model(model: AttackedModel, config: AuditConfig, read: Read, follow: Follow) -> list[AttackResult]:
    """Membership inference by each score, the guessing of canaries, and what the training promises beside it.

    Args:
        read: pictures of rows of the real set, uint8 [N, S, S].
        follow: begins to follow so many pictures.
    """
    pairs = choose_pairs(model.rows, config.max_patients, np.random.default_rng([config.seed, PAIRS_STREAM]))
    canaries, enough = choose_canaries(model), pairs.member.sum() >= FEWEST
    asked = [*([pairs] if enough else []), *([canaries] if model.canaries else [])]
    scores = score_patients(model, asked, config, read, follow) if asked else []
    if enough:
        results = judge_pairs(scores[0], pairs, config)
    else:
        results = untested_membership(
            f"only {pairs.member.sum()} training patients have a test patient like them in finding and view; {FEWEST} "
            "are needed"
        )
    if not model.canaries:
        without = untested_canaries(NO_CANARIES)
        return [*results, without, judge_promise(model.promise, None)]
    of_patients = np.bincount(canaries.owners, scores[-1][RELATIVE]) / np.bincount(canaries.owners)
    found = guess_canaries(of_patients, canaries.member, model.promise.delta if model.promise else DELTA)
    return [*results, judge_canaries(found, config), judge_promise(model.promise, found)]


def score_patients(
    model: AttackedModel, asked: Sequence[PatientPictures], config: AuditConfig, read: Read, follow: Follow
) -> list[dict[str, np.ndarray]]:
    """Of each of these the scores by name, and the base's error with its sign turned: float [N]. Pictures that several
    have are measured once."""
    table = pa.concat_tables([pictures.rows for pictures in asked])
    _, first, place = np.unique(table["image_id"].to_pylist(), return_index=True, return_inverse=True)
    rows = table.take(pa.array(first))
    pixels, captions, errors = read(rows), rows["caption"].to_pylist(), []
    with follow(2 * len(rows)) as advance:
        for tuned in (None, model.tuned):  # one after the other: two may not fit
            errors.append(measure_errors(load_model(model.base, tuned), pixels, captions, config.seed, advance))
    scores = {**score_pictures(*errors), BASE: -errors[0].plain.mean(axis=1)}
    ends = np.cumsum([len(pictures.rows) for pictures in asked])
    return [{by: score[part] for by, score in scores.items()} for part in np.split(place, ends[:-1])]


def judge_pairs(scores: dict[str, np.ndarray], pairs: PairedPictures, config: AuditConfig) -> list[AttackResult]:
    """Of the scores of `score_patients`."""
    rng = np.random.default_rng([config.seed, MEMBERSHIP_STREAM])
    owners, member = pairs.owners, pairs.member
    tested = ~member[owners]  # pictures
    half = np.zeros(len(member), bool)
    half[~member] = split_halves(pairs.strata[~member], rng)
    base = compare_members(scores[BASE], owners, member, config.resamples, rng)
    results = []
    for by in (RELATIVE, PLAIN, PIA):
        found = compare_members(scores[by], owners, member, config.resamples, rng)
        placebo = compare_members(scores[by][tested], owners[tested], half, config.resamples, rng)
        results.append(judge_membership(by, found, placebo, base, int(member.sum()), config))
    return results


def extract_canaries(
    model: AttackedModel, config: AuditConfig, by: str, searches: Mapping[str, Search], read: Read, follow: Follow
) -> list[AttackResult]:
    """Whether pictures of canaries come out of the model when it is asked for their captions: whether what comes out is
    nearer to those who were left in, and whether copies of these are in it.

    Args:
        by: what nearness is measured by.
        searches: detectors by name; that of this name gives correlations.
        read: pictures of rows of the real set, uint8 [N, S, S], of the size that the model makes.
        follow: begins to follow so many pictures.
    """
    if not model.canaries:
        return [untested_extraction(NO_CANARIES)]
    if not config.canary_images:
        return [untested_extraction("no picture was asked for (--canary-images 0)")]
    if len({*model.canaries.values()}) < 2:
        return [untested_extraction("the coin left all of the few canaries on the same side")]
    rng = np.random.default_rng([config.seed, EXTRACTION_STREAM])
    targets = choose_targets(model, config.max_patients, rng)
    captions, pixels = targets.rows["caption"].to_pylist(), read(targets.rows)
    canaries = np.flatnonzero(targets.canary)
    asked = [captions[row] for row in canaries for _ in range(config.canary_images)]
    with follow(len(asked)) as advance:
        samples = sample_captions(load_model(model.base, model.tuned), model.sampler, asked, rng, advance)
    rng = np.random.default_rng([config.seed, SIDES_STREAM])
    likeness = match_own(pixels[canaries], [captions[row] for row in canaries], samples, asked)
    sides = compare_sides(likeness, targets.kept[canaries], config.permutations, config.max_p, rng)
    found = [judge_extraction(by, sides, targets, asked, config)]
    for name, search in searches.items():
        found.append(find_extracted(name, search, name == by, samples, pixels, targets, config, rng))
    return found


def find_extracted(
    by: str, search: Search, correlations: bool, samples: np.ndarray, pixels: np.ndarray, targets: ExtractionTargets,
    config: AuditConfig, rng: np.random.Generator,
) -> AttackResult:  # fmt: skip
    """How many canaries who were left in have a copy among pictures that were sampled, by a detector. Those who were
    left out and test patients say which likeness comes by chance.

    Args:
        samples: uint8 [M, S, S]; pixels: uint8 [P, S, S], of the targets.
    """
    kept, controls = np.flatnonzero(targets.kept), np.flatnonzero(~targets.kept)
    if len(controls) < (needed := controls_needed(config.false_alarms)):
        return untested_extracted(
            by,
            f"{len(controls):,} patients whom the model never saw are too few to say which likeness "
            f"{100 * config.false_alarms:g} % reach by chance; {needed:,} are needed",
        )
    scores = search(samples).nearest(pixels, advance=lambda count: None).scores
    levels = set_levels(scores[controls], config.false_alarms, len(kept), config.max_p, correlations)
    planted, rows = {}, rng.permutation(kept)[: config.planted]
    for kind in SAMPLED:
        copies = np.stack([KINDS[kind](pixels[row], pixels[controls[0]], rng) for row in rows])
        found = search(copies).nearest(pixels[rows], advance=lambda count: None)
        planted[kind] = judge_planted(found, np.arange(len(rows)), levels)
    judged = judge_scores(scores[kept], levels, planted, config.max_p)
    left_out, placebo = targets.canary[controls], None
    if not left_out.all():
        placebo = compare_sides(scores[controls], left_out, config.permutations, config.max_p, rng).p
    return judge_extracted(by, judged, scores > levels.threshold, placebo, targets, config)
