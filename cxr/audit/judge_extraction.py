"""From the numbers of asking a model for its canaries to a verdict, in words. The limits are the recipe's."""

import math
from collections.abc import Sequence

import numpy as np

from cxr.artifact.metrics import LEAK, NO_LEAK, UNTESTED
from cxr.audit.attacked import ExtractionTargets
from cxr.audit.config import AuditConfig
from cxr.audit.duplicates import CopyTest
from cxr.audit.extraction import CanarySides
from cxr.audit.judge import OFTEN, finite, p_value, untestable
from cxr.audit.results import SINGLING_OUT, AttackResult

EXTRACTION, EXTRACTED = "extraction of canaries, by {}", "extracted copies of canaries, by {}"
EXTRACTION_RISKS = (SINGLING_OUT,)
EXTRACTION_QUESTION = (
    "Asked for a canary's caption, does the model make what is more like the canary's picture where the canary was "
    "left in?"
)
EXTRACTED_QUESTION = "Asked for their captions, does the model make copies of canaries who were left in?"


def untested_extraction(reason: str) -> AttackResult:
    return untestable("extraction of canaries", EXTRACTION_RISKS, EXTRACTION_QUESTION, reason)


def untested_extracted(by: str, reason: str) -> AttackResult:
    return untestable(EXTRACTED.format(by), EXTRACTION_RISKS, EXTRACTED_QUESTION, reason)


def judge_extraction(
    by: str, found: CanarySides, targets: ExtractionTargets, asked: Sequence[str], config: AuditConfig
) -> AttackResult:
    """Of whether canaries who were left in are nearer to what their captions gave.

    Args:
        asked: the caption of each picture that was sampled.
    """
    canaries, kept, captions = int(targets.canary.sum()), int(targets.kept.sum()), len({*asked})
    verdict, reason = NO_LEAK, ""
    if found.p < config.max_p:
        verdict = LEAK
    elif math.isinf(found.extracted):
        verdict, reason = UNTESTED, f"{canaries} canaries are too few: not even all of them would show it"
    of = f"of {captions} captions" if captions > 1 else "of one caption, which all share, so that it asks for nobody,"
    return AttackResult(
        EXTRACTION.format(by), EXTRACTION_RISKS, verdict, reason, EXTRACTION_QUESTION,
        result=f"a canary that was left in is nearer to what its caption gave than one that was left out in "
               f"{100 * found.share:.1f} % of such pairs (by chance in 50 %), p = {p_value(found.p)}",
        limit=f"p below {config.max_p:g}",
        power=f"{len(asked):,} pictures {of} for {canaries} canaries, {kept} of them left in: "
              f"{describe_extractions(found.extracted, kept)} come out",
        metrics={
            "share": found.share, "expected": 0.5, "p": found.p, "canaries": canaries, "left_in": kept,
            "pictures": len(asked), "captions": captions, "detectable": finite(found.extracted),
        },
    )  # fmt: skip


def judge_extracted(
    by: str, found: CopyTest, flagged: np.ndarray, placebo: float | None, targets: ExtractionTargets,
    config: AuditConfig,
) -> AttackResult:  # fmt: skip
    """Of copies of canaries among what their captions gave.

    Args:
        found: of those who were left in.
        flagged: bool [P], of all targets, above the threshold.
        placebo: p of canaries who were left out having higher scores than test patients; None where there are none.
    """
    left_out = targets.canary & ~targets.kept
    sides = {"left in": targets.kept, "left out": left_out, "test patients": ~targets.canary}
    counts = {side: (int(flagged[rows].sum()), int(rows.sum())) for side, rows in sides.items()}
    kept, clear = len(found.flagged), int(found.clear.sum())
    verdict, reason = NO_LEAK, ""
    if placebo is not None and placebo < config.max_p:
        verdict, reason = UNTESTED, (
            "the placebo fails: what was made is more like canaries who were left out than like test patients "
            f"(p = {p_value(placebo)}), and the model saw neither, so the parts of the real set differ by more than "
            "training"
        )  # fmt: skip
    elif found.found(config.max_p):
        verdict = LEAK
    elif math.isinf(found.detectable):
        verdict, reason = UNTESTED, "it would not be found even if all canaries who were left in came out"
    checked = "" if placebo is None else f"; placebo, left out against test patients: p = {p_value(placebo)}"
    reach = describe_extractions(found.detectable * kept, kept)
    recall = ", ".join(f"{kind} {100 * one.above_threshold:.0f} %" for kind, one in found.planted.items())
    return AttackResult(
        EXTRACTED.format(by), EXTRACTION_RISKS, verdict, reason, EXTRACTED_QUESTION,
        result=f"above the threshold are {', '.join(f'{n} of {all} {side}' for side, (n, all) in counts.items())}; of "
               f"those left in {kept * found.levels.rank / (found.levels.controls + 1):.1f} by chance, p = "
               f"{p_value(found.p)}; {clear} clear copies{checked}",
        limit=f"p below {config.max_p / 2:g}, or one clear copy",
        power=f"{reach} come out; of their copies planted it flags: {recall}; threshold from {found.levels.controls:,} "
              "patients whom the model never saw",
        metrics={
            "flagged": counts["left in"][0], "left_in": kept, "flagged_left_out": counts["left out"][0],
            "flagged_test": counts["test patients"][0], "clear": clear, "p": found.p, "placebo_p": placebo,
            "detectable": finite(found.detectable * kept), "threshold": found.levels.threshold,
            "clear_level": found.levels.clear, "controls": found.levels.controls,
            "recall": {kind: one.above_threshold for kind, one in found.planted.items()},
        },
    )  # fmt: skip


def describe_extractions(count: float, kept: int) -> str:
    """How many of those left in must come out to be found; infinite: not even all."""
    return (
        f"not found even where all {kept} canaries who were left in"
        if math.isinf(count)
        else (f"found {OFTEN} where {count:.0f} of the {kept} canaries who were left in")
    )
