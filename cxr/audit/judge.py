"""From the numbers of a test to its verdict, in words. The limits are the recipe's."""

import math
from collections.abc import Iterable

import numpy as np

from cxr.artifact.metrics import LEAK, NO_LEAK, UNDECIDED, UNTESTED, Promise, Verdict
from cxr.audit.config import AuditConfig
from cxr.audit.duplicates import POWER, CopyTest
from cxr.audit.epsilon import CONFIDENCE, CanaryTest, detectable_share
from cxr.audit.exchangeability import Flagged, NearestTest, Sides
from cxr.audit.membership import Estimate, MembershipTest, detectable_auc
from cxr.audit.reidentify import PatientVectors, detectable_links
from cxr.audit.results import INFERENCE, LINKABILITY, SINGLING_OUT, AttackResult

NEAREST, COPIES = "nearest patient, by {}", "near-duplicates, by {}"
MEMBERSHIP = "membership inference on the model"
NEAREST_RISKS, COPIES_RISKS, MEMBERSHIP_RISKS = (SINGLING_OUT, INFERENCE), (SINGLING_OUT,), (INFERENCE,)
NEAREST_QUESTION = (
    "Is the nearest patient of a synthetic picture a training patient more often than one of as many test patients who "
    "are like them in finding and view?"
)
COPIES_QUESTION = (
    "Is a synthetic picture more like a training picture than those of test patients are, which can be copies of none?"
)
MEMBERSHIP_QUESTION = (
    "Does the model denoise pictures of training patients better than those of test patients who are like them in "
    "finding and view?"
)
CANARIES, CANARIES_RISKS = "canaries: patients left in or out by a coin", (INFERENCE,)
CANARIES_QUESTION = "How well can be guessed from the model's error who was left in?"
PROMISE, PROMISE_RISKS = "the promise of differential privacy", (INFERENCE,)
PROMISE_QUESTION = "Do canaries show more of who was in the training than the epsilon that it promises allows?"
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


def untested_membership(reason: str) -> list[AttackResult]:
    return [untestable(MEMBERSHIP, MEMBERSHIP_RISKS, MEMBERSHIP_QUESTION, reason)]


def judge_membership(
    by: str, found: MembershipTest, placebo: MembershipTest, base: MembershipTest, pairs: int, config: AuditConfig
) -> AttackResult:
    """Of membership inference by one score.

    Args:
        placebo: the same score, of one half of the test patients against the other.
        base: the base model's error, of the same pictures; it was trained on neither side.
        pairs: of patients, `membership.FEWEST` at least.
    """
    verdict, reason = decide_membership(found, placebo, base, pairs, config)
    tpr = ""
    if found.tpr is not None:
        told = [f"{100 * value:.1f}" for value in (found.tpr.value, found.tpr.low, found.tpr.high)]
        tpr = f"; {told[0]} % of the training pictures ({told[1]} to {told[2]}) are above what 1 % of others reach"
    return AttackResult(
        f"{MEMBERSHIP}, by {by}", MEMBERSHIP_RISKS, verdict, reason, MEMBERSHIP_QUESTION,
        result=f"AUC {interval(found.auc)}{tpr}; placebo, test patients against test patients: AUC "
               f"{interval(placebo.auc)}; by the error of the base, which saw neither: AUC {interval(base.auc)}",
        limit=f"lower bound of the AUC above {config.max_auc:g}, or of the training pictures above "
              f"{100 * config.max_tpr:g} %; no leak: upper bound of the AUC below {config.max_auc:g} with "
              f"{config.min_patients} patients a side",
        power=f"{pairs} patients a side: found {OFTEN} where the AUC is {detectable_auc(pairs, config.max_auc):.2f}",
        metrics={
            "auc": found.auc.value, "auc_low": found.auc.low, "auc_high": found.auc.high,
            "tpr": found.tpr.value if found.tpr else None, "tpr_low": found.tpr.low if found.tpr else None,
            "tpr_high": found.tpr.high if found.tpr else None, "patients_a_side": pairs,
            "placebo_auc": placebo.auc.value, "placebo_low": placebo.auc.low, "placebo_high": placebo.auc.high,
            "base_auc": base.auc.value, "base_low": base.auc.low, "base_high": base.auc.high,
        },
    )  # fmt: skip


def untested_canaries(reason: str) -> AttackResult:
    return untestable(CANARIES, CANARIES_RISKS, CANARIES_QUESTION, reason)


def judge_canaries(found: CanaryTest, config: AuditConfig) -> AttackResult:
    """Of guessing which canaries were trained on."""
    share, needed = found.right / found.guesses, detectable_share(found.guesses, config.max_p)
    return AttackResult(
        CANARIES, CANARIES_RISKS, LEAK if found.p < config.max_p else NO_LEAK, "", CANARIES_QUESTION,
        result=f"{found.right} of the {found.guesses} surest guesses are right ({100 * share:.0f} %, by chance 50 %), "
               f"p = {p_value(found.p)}; epsilon is {found.epsilon:.2f} or more ({100 * CONFIDENCE:.0f} % confidence, "
               f"delta {found.delta:.2g})",
        limit=f"p below {config.max_p:g}",
        power=f"{found.canaries} canaries: found {OFTEN} where {100 * needed:.0f} % of the guesses are right in the "
              f"mean; so many canaries show an epsilon of {found.highest:.2f} at most",
        metrics={
            "canaries": found.canaries, "guesses": found.guesses, "right": found.right, "p": found.p,
            "epsilon": found.epsilon, "highest_epsilon": found.highest, "detectable": finite(needed),
        },
    )  # fmt: skip


def untested_promise(reason: str) -> AttackResult:
    return untestable(PROMISE, PROMISE_RISKS, PROMISE_QUESTION, reason)


def judge_promise(promise: Promise | None, found: CanaryTest | None) -> AttackResult:
    """Of what a training promises, beside the lower bound that its canaries give.

    Args:
        found: by the promise's delta; None: it had no canaries.
    """
    if promise is None:
        return untested_promise("the model was trained without (cxr finetune --epsilon)")
    promised = f"the training promises epsilon {promise.epsilon:.3g} (delta {promise.delta:.2g})"
    if found is None:
        return untested_promise(f"{promised}, and had no canaries to check it by (cxr finetune --canaries)")
    verdict, reason = NO_LEAK, ""
    if found.epsilon > promise.epsilon:
        verdict, reason = LEAK, "the promise is broken: canaries show more than it allows"
    elif found.highest <= promise.epsilon:
        verdict, reason = UNTESTED, (
            f"{found.canaries} canaries show an epsilon of {found.highest:.2f} at most, if all guesses are right, and "
            "more than that is promised; a smaller epsilon or more canaries can be checked"
        )  # fmt: skip
    return AttackResult(
        PROMISE, PROMISE_RISKS, verdict, reason, PROMISE_QUESTION,
        result=f"{promised}; canaries show {found.epsilon:.2f} or more ({100 * CONFIDENCE:.0f} % confidence)",
        limit="an epsilon above the promised one",
        power=f"{found.canaries} canaries show an epsilon of {found.highest:.2f} at most",
        metrics={
            "promised_epsilon": promise.epsilon, "delta": promise.delta, "epsilon": found.epsilon,
            "highest_epsilon": found.highest,
        },
    )  # fmt: skip


def describe_reach(share: float) -> str:
    """Which share of the pictures would be found; infinite: not even all."""
    return (
        "not found even where all of the pictures"
        if math.isinf(share)
        else (f"found {OFTEN} where {100 * share:.1f} % of the pictures")
    )


def decide_membership(
    found: MembershipTest, placebo: MembershipTest, base: MembershipTest, pairs: int, config: AuditConfig
) -> tuple[Verdict, str]:
    """The verdict, and why it is none. Args as `judge_membership`."""
    differing = [test.auc for test in (placebo, base) if tells_apart(test.auc, config.max_auc)]
    if differing:
        return UNTESTED, (
            f"the placebo fails: patients whom the model never saw are told apart too (AUC {interval(differing[0])}), "
            "so the parts of the real set differ by more than training"
        )  # fmt: skip
    if found.auc.low > config.max_auc or (found.tpr is not None and found.tpr.low > config.max_tpr):
        return LEAK, ""
    if pairs < config.min_patients:
        return UNDECIDED, f"{pairs} patients a side are too few to rule a leak out; {config.min_patients} are needed"
    if found.auc.high >= config.max_auc:
        return UNDECIDED, f"the AUC may lie above {config.max_auc:g} or below; more test patients tell"
    return NO_LEAK, ""


def tells_apart(auc: Estimate, max_auc: float) -> bool:
    """Whether one of the sides has higher scores, whichever."""
    return auc.low > max_auc or auc.high < 1 - max_auc


def interval(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def finite(value: float) -> float | None:
    return None if math.isinf(value) else value


def p_value(value: float) -> str:
    return "below 0.0001" if value < 1e-4 else np.format_float_positional(value, 2, fractional=False, trim="-")
