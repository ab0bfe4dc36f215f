"""What a study found, in words."""

from collections.abc import Sequence

from cxr.study.config import BASELINE, StudyConfig
from cxr.study.results import ArmResult, Difference, Tested
from cxr.study.statistics import LEVEL

FEW = 30  # patients of a class below which intervals are rough


def answer(config: StudyConfig, arms: Sequence[ArmResult]) -> str:
    """Whether synthetic pictures helped beside all real ones, then whether beside a part of them: a sentence each.

    If no arm has both kinds, the baseline's own figures.
    """
    kinds = {arm.name: arm for arm in config.arms}
    full = [arm for arm in arms if kinds[arm.arm].synthetic and kinds[arm.arm].real == 100]
    limited = [arm for arm in arms if kinds[arm.arm].synthetic and 0 < kinds[arm.arm].real < 100]
    beside_all = [(arm, one) for arm in full if (one := arm.less(BASELINE))]
    beside_part = [(kinds[arm.arm].real, one) for arm in limited if arm.control and (one := arm.less(arm.control))]
    sentences = [with_all(beside_all)] if beside_all else []
    sentences += [with_part(beside_part)] if beside_part else []
    return " ".join(sentences) or alone(next(arm for arm in arms if arm.arm == BASELINE))


def with_all(found: Sequence[tuple[ArmResult, Difference]]) -> str:
    """Of arms that have all real pictures and synthetic ones, and their differences from the baseline."""
    better = [(arm, one) for arm, one in found if one.p_holm < LEVEL and one.mean > 0]
    worse = [(arm, one) for arm, one in found if one.p_holm < LEVEL and one.mean < 0]
    if better:
        arm, one = max(better, key=lambda pair: pair[1].mean)
        harm = f" But {', '.join(arm.arm for arm, _ in worse)} did harm." if worse else ""
        return f"Synthetic pictures helped: {arm.arm} ({arm.title}) {raised(one)}{beside_control(arm)}.{harm}"
    if worse:
        arm, one = min(worse, key=lambda pair: pair[1].mean)
        return f"Synthetic pictures hurt: {arm.arm} ({arm.title}) {raised(one)}, and no mix with all real data gained."
    return f"No detectable difference: beside all real data, synthetic pictures {shown([one for _, one in found])}."


def with_part(found: Sequence[tuple[float, Difference]]) -> str:
    """Of the percentages of real pictures and the differences from as many without synthetic ones."""
    parts = [f"with {real:g} % {verdict(one)}" for real, one in sorted(found, key=lambda pair: pair[0])]
    return f"Where real data are few, against the same real data alone: {'; '.join(parts)}."


def alone(arm: ArmResult) -> str:
    told = {"accuracy": arm.figures["accuracy"], "AUROC": arm.figures["auroc"]}
    figures = ", ".join(f"{name} {one.mean:.3f} ({one.low:.3f} to {one.high:.3f})" for name, one in told.items())
    return f"No arm of this study shows what synthetic pictures do beside real ones. {arm.title}: {figures}."


def verdict(one: Difference) -> str:
    if one.p_holm < LEVEL:
        return f"synthetic pictures {raised(one)}"
    return f"no detectable difference: they {shown([one])}"


def raised(one: Difference) -> str:
    """ "raised AUROC by 0.031 (0.012 to 0.050) over baseline"."""
    if one.mean > 0:
        return f"raised AUROC by {one.mean:.3f} ({one.low:.3f} to {one.high:.3f}) over {one.against}"
    return f"lowered AUROC by {-one.mean:.3f} ({-one.high:.3f} to {-one.low:.3f}) below {one.against}"


def shown(found: Sequence[Difference]) -> str:
    """What was seen, and what could have been."""
    means = sorted({f"{one.mean:+.3f}" for one in found}, key=float)
    changed = f"changed AUROC by {' to '.join(dict.fromkeys((means[0], means[-1])))}"
    smallest = max((one.detectable for one in found if one.detectable is not None), default=None)
    if smallest is None:
        return f"{changed}; nothing varied, so this study cannot say what it could have found"
    return f"{changed}, and this study could have found a difference of {smallest:.3f} or more"


def beside_control(arm: ArmResult) -> str:
    """Whether the gain stays against the arm's control."""
    if arm.control is None or (one := arm.less(arm.control)) is None:
        return ""
    if one.p_holm < LEVEL and one.mean > 0:
        return f", and beat its control {arm.control} too"
    return f", but was not shown to beat its control {arm.control} ({one.mean:+.3f}, {one.low:.3f} to {one.high:.3f})"


def notes(config: StudyConfig, failed: Sequence[tuple[str, int]], test: Tested, classes: Sequence[str]) -> list[str]:
    """What a reader must know to weigh the figures, a line each."""
    lines = [
        "Intervals and p are for a new seed and new patients of the same population; the training pictures are the "
        "same in every trial, so nothing here says how another training set would do. Detectable differences are found "
        "after Holm's correction too, with 80 % power."
    ]
    if len(config.seeds) == 1:
        lines.append("One seed: intervals show chance among the test patients alone, none of training; take three.")
    if len(config.seeds) == 2:
        lines.append("Two seeds: a test at 5 % errs in up to 6 % of studies without a difference, and finds little.")
    gone = {arm: [seed for other, seed in failed if other == arm] for arm, _ in failed}
    lines += [f"{arm}: failed with seed {', '.join(map(str, seeds))}." for arm, seeds in gone.items()]
    for number, name in enumerate(classes):
        shown = {patient for patient, label in zip(test.patients, test.labels, strict=True) if label == number}
        if len(shown) < FEW:
            lines.append(f"{len(shown)} test patients show {name}: intervals are rough below {FEW}.")
    return lines
