"""The attacks on the model that an audit makes: its errors on pictures, and what it makes of captions."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

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
from cxr.audit.conduct import Advance, Search
from cxr.audit.config import AuditConfig
from cxr.audit.denoising import PIA, PLAIN, RELATIVE, load_model, measure_errors, score_pictures
from cxr.audit.duplicates import controls_needed, judge_planted, judge_scores, set_levels
from cxr.audit.epsilon import DELTA, guess_canaries
from cxr.audit.extraction import compare_sides, match_own, sample_captions
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
from cxr.audit.results import AttackResult

Read = Callable[[pa.Table], np.ndarray]
Follow = Callable[[int], AbstractContextManager[Advance]]
PAIRS_STREAM, MEMBERSHIP_STREAM, EXTRACTION_STREAM, SIDES_STREAM = 300, 301, 302, 303  # of random numbers of a seed
BASE = "base"  # its score
SAMPLED = "the same", "blurred 3 px", "noise 20"  # copies as a model samples them


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
        for tuned, base in ((None, True), (model.tuned, False)):  # one after the other: two may not fit
            loaded = load_model(model.base, tuned)
            loaded.speed_up(compile=False, cuda_graphs=False)
            errors.append(measure_errors(loaded, pixels, captions, config.seed, advance, base=base))
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
