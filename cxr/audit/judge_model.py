"""From the numbers of an attack on the model to its verdict, in words. The limits are the recipe's."""

from cxr.artifact.metrics import LEAK, NO_LEAK, UNDECIDED, UNTESTED, Promise, Verdict
from cxr.audit.config import AuditConfig
from cxr.audit.epsilon import CONFIDENCE, CanaryTest, detectable_share
from cxr.audit.judge import OFTEN, finite, p_value, untestable
from cxr.audit.membership import Estimate, MembershipTest, detectable_auc
from cxr.audit.results import INFERENCE, AttackResult

MEMBERSHIP = "membership inference on the model"
MEMBERSHIP_RISKS = (INFERENCE,)
MEMBERSHIP_QUESTION = (
    "Does the model denoise pictures of training patients better than those of test patients who are like them in "
    "finding and view?"
)
CANARIES, CANARIES_RISKS = "canaries: patients left in or out by a coin", (INFERENCE,)
NO_CANARIES = "the model was trained without (cxr finetune --canaries)"
CANARIES_QUESTION = "How well can be guessed from the model's error who was left in?"
PROMISE, PROMISE_RISKS = "the promise of differential privacy", (INFERENCE,)
PROMISE_QUESTION = "Do canaries show more of who was in the training than the epsilon that it promises allows?"


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
