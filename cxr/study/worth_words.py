"""What synthetic pictures are worth, in words: one sentence about the learning curve, and one for each arm."""

from collections.abc import Collection

from cxr.study.answer import SAW_ALL
from cxr.study.learning_results import LearningCurve, Worth

FORMS = {
    "power": "a - b n^-c was fitted to it",
    "monotone": "a - b n^-c does not fit it, so it is the nearest curve that never falls, and ends where it was "
    "measured",
}


def describe_worth(curve: LearningCurve, saw_more: Collection[str] = ()) -> list[str]:
    """
    Args:
        saw_more: arms with a part of the real data whose generator may have seen more of them.
    """
    points = ", ".join(f"{auroc:.3f} with {size:,}" for size, auroc in zip(curve.sizes, curve.aurocs, strict=True))
    if curve.flat:
        mean, low, high = curve.rise
        return [
            "The learning curve is flat here, so what a synthetic picture is worth cannot be told: from "
            f"{curve.sizes[0]:,} to {curve.sizes[-1]:,} real pictures AUROC changed by {mean:+z.3f} "
            f"({low:+z.3f} to {high:+z.3f})."
        ]
    return [
        f"Learning curve of real pictures alone: AUROC {points}; {FORMS[curve.form]}.",
        *(
            describe_reading(curve, one) + (f" Its generator {SAW_ALL}." if one.arm in saw_more else "")
            for one in curve.readings
        ),
    ]


def describe_reading(curve: LearningCurve, one: Worth) -> str:
    """ "100 synthetic pictures did what 14 (3 to 30) more real ones would have"."""
    least, most = curve.reach
    about = f"{one.arm} ({one.synthetic:,} synthetic beside {one.real:,} real pictures)"
    if not curve.tells(one):
        return (
            f"{about}: what its synthetic pictures are worth cannot be told: anything from {least:,.0f} real pictures "
            f"alone to {most:,.0f} may do the same."
        )
    sign, word = (1, "more") if one.worth >= 0 else (-1, "fewer")
    mean, *ends = count_of_100(curve, one, sign)
    low, high = ends[::sign]
    what = f"100 synthetic pictures did what {mean} ({low} to {high}) {word} real ones would have"
    return f"{about}: {what}{beyond(curve, one)}."


def count_of_100(curve: LearningCurve, one: Worth, sign: int = 1) -> list[str]:
    """Real pictures that 100 synthetic ones are worth: the mean and both ends of its interval."""
    pairs = (one.equivalent, one.worth), (one.equivalent_low, one.low), (one.equivalent_high, one.high)
    return [describe_count(sign * 100 * worth, sign * curve.beyond(at)) for at, worth in pairs]


def describe_count(count: float, end: int) -> str:
    """ "14", "more than 14", "less than 14"."""
    return {1: "more than ", -1: "less than ", 0: ""}[end] + f"{round(count):,}"


def beyond(curve: LearningCurve, one: Worth) -> str:
    """Where the reading leaves what was measured."""
    least, most = curve.sizes[0], curve.sizes[-1]
    if curve.form == "monotone" and curve.beyond(one.equivalent):
        return f", beyond the learning curve, which ends at {most if one.equivalent >= most else least:,}"
    if not least <= one.equivalent <= most:
        return f", beyond the {least:,} to {most:,} real pictures measured: an extrapolation of the fitted curve"
    if not (least <= one.equivalent_low and one.equivalent_high <= most):
        return f"; the interval goes beyond the {least:,} to {most:,} real pictures measured, by the fitted curve"
    return ""
