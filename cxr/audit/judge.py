"""From the numbers of a test of pictures to its verdict, in words. The limits are the recipe's."""

import math
from collections.abc import Iterable

import numpy as np

from cxr.artifact.metrics import LEAK, NO_LEAK, UNTESTED
from cxr.audit.config import AuditConfig
from cxr.audit.duplicates import POWER, CopyTest
from cxr.audit.exchangeability import Flagged, NearestTest, Sides
from cxr.audit.reidentify import PatientVectors, detectable_links
from cxr.audit.results import INFERENCE, LINKABILITY, SINGLING_OUT, AttackResult

NEAREST, COPIES = "nearest patient, by {}", "near-duplicates, by {}"
NEAREST_RISKS, COPIES_RISKS = (SINGLING_OUT, INFERENCE), (SINGLING_OUT,)
NEAREST_QUESTION = (
    "Is the nearest patient of a synthetic picture a training patient more often than one of as many test patients who "
    "are like them in finding and view?"
)
COPIES_QUESTION = (
    "Is a synthetic picture more like a training picture than those of test patients are, which can be copies of none?"
)
LINKS, LINKS_RISKS = "re-identification, by {}", (LINKABILITY,)
LINKS_QUESTION = (
    "Is a synthetic picture linked to X-rays of a training patient more often than to those of as many test patients?"
)
PLACEBO_FAILS = (
    "the placebo fails: validation patients, whom the model was not trained on, are {} than test patients too "
    "(p = {}), so the parts of the real set differ by more than training"
)
OFTEN = f"{100 * POWER:.0f} times in 100"


def untested_attacks(nearest: Iterable[str], copies: Iterable[str], links: str, reason: str) -> list[AttackResult]:
    """Every attack on the pictures, where none can be made; by what likeness would be measured with."""
    return [
        *(untestable(NEAREST.format(by), NEAREST_RISKS, NEAREST_QUESTION, reason) for by in nearest),
        *(untestable(COPIES.format(by), COPIES_RISKS, COPIES_QUESTION, reason) for by in copies),
        untested_links(links, reason),
    ]


def untested_links(by: str, reason: str) -> AttackResult:
    return untestable(LINKS.format(by), LINKS_RISKS, LINKS_QUESTION, reason)


def untestable(name: str, risks: tuple[str, ...], question: str, reason: str) -> AttackResult:
    return AttackResult(name, risks, UNTESTED, reason, question)


def judge_nearest(
    by: str, found: NearestTest, flagged: Flagged, placebo: NearestTest | None, sides: Sides, config: AuditConfig
) -> AttackResult:
    """Of the test of nearest patients.

    Args:
        by: what likeness is measured with.
        placebo: the same of validation patients in the place of training patients; None where there are none.
    """
    pictures = len(flagged.pictures)
    verdict, reason = NO_LEAK, ""
    if placebo is not None and placebo.p < config.max_p:
        verdict, reason = UNTESTED, PLACEBO_FAILS.format("nearer", p_value(placebo.p))
    elif found.p < config.max_p:
        verdict = LEAK
    elif math.isinf(found.detectable):
        verdict, reason = UNTESTED, (
            f"{pictures:,} pictures and {sides.matched} patients a side are too few: a set of which every picture is "
            "nearest to a training patient would not be found either; give more of both"
        )  # fmt: skip
    checked = f"; placebo, validation against test patients: p = {p_value(placebo.p)}" if placebo else ""
    return AttackResult(
        NEAREST.format(by), NEAREST_RISKS, verdict, reason, NEAREST_QUESTION,
        result=f"a training patient is nearest in {100 * found.share:.1f} % of the pictures (by chance in "
               f"{100 * found.expected:.1f} %), p = {p_value(found.p)}; {100 * flagged.share:.1f} % are nearer to one "
               f"than {100 * (1 - config.false_alarms):g} % of this set's are to a test patient{checked}",
        limit=f"p below {config.max_p:g}",
        power=f"{pictures:,} pictures, {sides.matched} patients a side: {describe_reach(found.detectable)} are each "
              "nearest to a training patient of its own",
        metrics={
            "share": found.share, "expected": found.expected, "p": found.p, "detectable": finite(found.detectable),
            "above_threshold": flagged.share, "threshold": flagged.threshold, "patients_a_side": sides.matched,
            "placebo_p": placebo.p if placebo else None,
        },
    )  # fmt: skip


def judge_links(
    by: str, vectors: PatientVectors, linked: int, pictures: int, found: NearestTest | None,
    placebo: NearestTest | None, config: AuditConfig,
) -> AttackResult:  # fmt: skip
    """Of re-identification.

    Args:
        by: what the embedder of patients is made from.
        linked: of so many pictures.
        found: of the pictures that are linked; None where none are.
        placebo: the same of validation patients in the place of training patients; None where it cannot be made.
    """
    reach = detectable_links(linked, pictures, vectors.linked, config.max_p)
    verdict, reason = NO_LEAK, ""
    if vectors.linked < config.min_linked:
        verdict, reason = UNTESTED, (
            f"the embedder links only {100 * vectors.linked:.1f} % of other pictures of the same real patient, where "
            f"{100 * config.false_matches:g} % of different patients are linked too; below "
            f"{100 * config.min_linked:g} % it would miss most"
        )  # fmt: skip
    elif placebo is not None and placebo.p < config.max_p:
        verdict, reason = UNTESTED, PLACEBO_FAILS.format("linked to more often", p_value(placebo.p))
    elif found is not None and found.p < config.max_p:
        verdict = LEAK
    elif math.isinf(reach):
        verdict, reason = UNTESTED, f"{pictures:,} pictures are too few: not even all of them would show it; give more"
    result = f"{linked:,} of {pictures:,} pictures are linked to somebody"
    if found is not None:
        result += f", {100 * found.share:.1f} % of them to a training patient (by chance "
        result += f"{100 * found.expected:.1f} %), p = {p_value(found.p)}"
    return AttackResult(
        LINKS.format(by), LINKS_RISKS, verdict, reason, LINKS_QUESTION,
        result=result,
        limit=f"p below {config.max_p:g}",
        power=f"{100 * vectors.linked:.1f} % of other pictures of {vectors.patients} real patients are linked at "
              f"{100 * config.false_matches:g} % false links; {describe_reach(reach)} each show a training patient of "
              "its own",
        metrics={
            "linked": linked, "recall": vectors.linked, "patients_with_several": vectors.patients,
            "share": found.share if found else None, "expected": found.expected if found else None,
            "p": found.p if found else None, "placebo_p": placebo.p if placebo else None,
            "detectable": finite(reach),
        },
    )  # fmt: skip


def judge_copies(by: str, found: CopyTest, config: AuditConfig) -> AttackResult:
    """Of a search for near-duplicates."""
    pictures, flagged, clear = len(found.flagged), int(found.flagged.sum()), int(found.clear.sum())
    leak, untestable = found.found(config.max_p), math.isinf(found.detectable)
    verdict = LEAK if leak else UNTESTED if untestable else NO_LEAK
    recall = ", ".join(f"{kind} {100 * one.above_threshold:.0f} %" for kind, one in found.planted.items())
    levels = found.levels
    expected = pictures * levels.rank / (levels.controls + 1)
    reach = f"from {100 * found.detectable:.1f} % of copies on" if not untestable else "not even if all were copies"
    return AttackResult(
        COPIES.format(by), COPIES_RISKS, verdict,
        "it does not find the copies that were planted in this set" if verdict == UNTESTED else "", COPIES_QUESTION,
        result=f"{flagged:,} of {pictures:,} pictures above the threshold ({expected:.1f} by chance), p = "
               f"{p_value(found.p)}; {clear:,} clear copies, further above than chance reaches in a whole set",
        limit=f"p below {config.max_p / 2:g}, or one clear copy",
        power=f"found {OFTEN} {reach}; of copies planted in this set it flags: {recall}; threshold from "
              f"{levels.controls:,} test pictures",
        metrics={
            "flagged": flagged, "expected": expected, "clear": clear, "p": found.p,
            "detectable": finite(found.detectable), "threshold": levels.threshold, "clear_level": levels.clear,
            "controls": levels.controls, "recall": {kind: one.above_threshold for kind, one in found.planted.items()},
        },
    )  # fmt: skip


def describe_reach(share: float) -> str:
    """Which share of the pictures would be found; infinite: not even all."""
    return (
        "not found even where all of the pictures"
        if math.isinf(share)
        else (f"found {OFTEN} where {100 * share:.1f} % of the pictures")
    )


def finite(value: float) -> float | None:
    return None if math.isinf(value) else value


def p_value(value: float) -> str:
    return "below 0.0001" if value < 1e-4 else np.format_float_positional(value, 2, fractional=False, trim="-")
