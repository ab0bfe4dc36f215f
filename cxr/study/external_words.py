"""What was found at other hospitals, in words."""

from collections.abc import Iterator, Sequence

from cxr.study.results import MAIN, External, ExternalArm, Gap
from cxr.study.statistics import LEVEL


def describe_external(found: Sequence[External], baseline: str, primary: str | None) -> list[str]:
    """Of each hospital the baseline, the primary arm, and the arms that fall more than the baseline."""
    return [line for one in found for line in describe_one(one, baseline, primary)]


def describe_one(found: External, baseline: str, primary: str | None) -> Iterator[str]:
    arms = {one.arm: one for one in found.arms}
    if baseline in arms:
        yield f"At {found.name} ({found.patients:,} patients) {describe_drop(arms[baseline])}."
    if primary in arms and primary != baseline:
        less = next(
            (d for d in arms[primary].differences if (d.against, d.metric) == (baseline, MAIN)), None
        )  # fmt: skip
        between = f"; less the baseline there {less.mean:+z.3f} ({less.low:+z.3f} to {less.high:+z.3f})" if less else ""
        yield f"At {found.name} {describe_drop(arms[primary])}{between}."
    worse = [one for one in found.arms if one.extra_drop and one.extra_drop.low > 0]
    better = [one for one in found.arms if one.extra_drop and one.extra_drop.high < 0]
    if worse:
        yield (
            f"More than the baseline fall at {found.name}: {name_gaps(worse)}; they may live on what only the study's "
            "own pictures have, such as marks of a scanner."
        )
    if better:
        yield f"Less than the baseline fall at {found.name}: {name_gaps(better)}."


def name_gaps(arms: Sequence[ExternalArm]) -> str:
    """Arms, each with by how much more or less than the baseline it falls."""
    return ", ".join(f"{one.arm} by {show_gap(away_from_0(one.extra_drop))}" for one in arms if one.extra_drop)


def describe_drop(arm: ExternalArm) -> str:
    drop = arm.drops[MAIN]
    verb = "falls" if drop.mean >= 0 else "rises"
    shown = (
        Gap(drop.mean, drop.low, drop.high, drop.p)
        if drop.mean >= 0
        else Gap(-drop.mean, -drop.high, -drop.low, drop.p)
    )
    sure = "" if drop.p < LEVEL else ", which can be chance"
    return f"the AUROC of {arm.arm} {verb} by {show_gap(shown)} to {arm.metrics[MAIN].mean:.3f}{sure}"


def away_from_0(gap: Gap) -> Gap:
    """Turned so that it is above 0."""
    return gap if gap.mean >= 0 else Gap(-gap.mean, -gap.high, -gap.low, gap.p)


def show_gap(gap: Gap) -> str:
    return f"{gap.mean:.3f} ({gap.low:.3f} to {gap.high:.3f})"
