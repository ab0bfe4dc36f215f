"""What a study found, in words: one sentence about the primary arm, and what stands beneath it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from cxr.study.config import BASELINE, Arm, StudyConfig
from cxr.study.differences import list_pairs, primary_pair
from cxr.study.results import AVERAGE_PRECISION, MAIN, ArmResult, Difference, TestSet
from cxr.study.several import describe_several
from cxr.study.statistics import LEVEL, Estimate

FEW = 30  # patients of a class below which intervals are rough
AMOUNTS: dict[float, str] = {  # by percent
    25: "a quarter as many",
    50: "half as many",
    100: "as many",
    200: "twice as many",
}
PERFECT = 0.9995  # of an AUROC that pages show as 1.000
SAW_ALL = "may have seen all real training pictures, so this is no answer for few real data"


@dataclass(frozen=True)
class Answer:
    headline: str  # one sentence
    details: list[str]  # a sentence each


def answer(config: StudyConfig, arms: Sequence[ArmResult], saw_more: Collection[str] = ()) -> Answer:
    """Whether synthetic pictures helped, by the comparison that was named for it before the run.

    Args:
        saw_more: arms with a part of the real data whose generator may have seen more of them.
    """
    kinds, found = {arm.name: arm for arm in config.arms}, {arm.arm: arm for arm in arms}
    pair = primary_pair(config.arms, config.primary)
    if len(arms) == 1:
        return answer_for_one_arm(found[BASELINE])
    one = pair and found[pair[0]].difference_from(pair[1])
    solved = explain_perfect(found[pair[1] if pair else BASELINE])
    details = [*describe_other_arms(kinds, arms, pair), *describe_limited_arms(kinds, arms, pair, saw_more)]
    if pair is None:
        return Answer("No arm was named as the primary one, so none was tested alone.", [*solved, *details])
    if one is None:
        return Answer(f"No answer: the trials of {pair[0]}, the primary arm, or of {pair[1]} failed.", details)
    arm, result = kinds[pair[0]], found[pair[0]]
    leak = [f"The generator of {arm.name} {SAW_ALL}."] if arm.name in saw_more else []
    return Answer(
        headline(arm, result, one, found, config.margin),
        [*leak, *solved, *describe_primary(arm, result, one, found), *details],
    )


def headline(arm: Arm, result: ArmResult, one: Difference, found: dict[str, ArmResult], margin: float | None) -> str:
    """Synthetic pictures are said to help or hurt only where the arm's control does not do the same, and to make no
    difference that matters only where that was shown."""
    mix = describe_mix(arm, result)
    if is_within(one):
        return f"No difference that matters: with {mix} AUROC {describe_change(one)}, within the margin of {margin:g}."
    if not is_significant(one):
        return (
            f"{'No detectable difference' if margin is None else 'Undecided'}: with {mix} AUROC {describe_change(one)}."
        )
    control = result.difference_from(arm.control)
    if not arm.synthetic or control is None:
        why = ", and this study has no control for it" if arm.synthetic else ""
        return f"With {mix} AUROC {describe_change(one)}{why}."
    if is_significant(control) and np.sign(control.mean) == np.sign(one.mean):
        return f"Synthetic pictures {'helped' if one.mean > 0 else 'hurt'}: with {mix} AUROC {describe_change(one)}."
    return f"With {mix} AUROC {describe_change(one)}, but no difference from {found[control.against].label} was shown."


def describe_mix(arm: Arm, result: ArmResult) -> str:
    """ "as many synthetic as real pictures"."""
    if arm.synthetic and not arm.real:
        return "synthetic pictures alone"
    if arm.synthetic and arm.real < 100:
        return f"{arm.synthetic:g} % synthetic pictures beside {arm.real:g} % of the real ones"
    if not arm.synthetic or arm.shuffled or arm.filter or arm.order != "mixed" or arm.repeat > 1 or arm.steps < 100:
        return result.label
    return f"{AMOUNTS.get(arm.synthetic, f'{arm.synthetic:g} % as many')} synthetic as real pictures"


def explain_perfect(compared: ArmResult) -> list[str]:
    """What follows where the arm that others are compared with makes no mistakes; nothing where it makes some."""
    auroc = compared.metrics.get(MAIN)
    if auroc is None or auroc.mean < PERFECT:
        return []
    least = "" if auroc.low is None else f", or {auroc.low:.3f} at least,"
    return [
        f"{compared.arm} has an AUROC of 1.000{least} without any synthetic picture: these test pictures leave it "
        "nothing to gain, so this study cannot show that synthetic ones help, nor that they would not in a harder "
        "task. Test on more patients, or compare with fewer real pictures (--primary limited_10)."
    ]


def describe_primary(arm: Arm, result: ArmResult, one: Difference, found: dict[str, ArmResult]) -> list[str]:
    able = "nothing varied, so it cannot be said what could have been found"
    if one.detectable is not None:
        able = f"a true difference of {one.detectable:.3f} would be found in 80 % of such studies"
    lines = [f"{arm.name} is the primary arm, and its difference from {one.against} was tested alone at 5 %: {able}."]
    control = result.difference_from(arm.control)
    if control is not None and control is not one:
        lines.append(f"{arm.name} less its control, {found[control.against].label}: {describe_difference(control)}.")
    return lines


def describe_other_arms(kinds: dict[str, Arm], arms: Sequence[ArmResult], pair: tuple[str, str] | None) -> list[str]:
    """Of the arms with all real pictures or none and synthetic ones, but for the primary one."""
    mixes = [
        (arm, one) for arm in arms
        if kinds[arm.arm].synthetic and kinds[arm.arm].real in (0, 100) and (arm.arm, BASELINE) != pair
        and (one := arm.difference_from(BASELINE))
    ]  # fmt: skip
    lines = []
    for arm, one in (pair for pair in mixes if is_significant(pair[1]) and not kinds[pair[0].arm].shuffled):
        control = arm.difference_from(arm.control)
        against = f"; less its control {arm.control}: {describe_difference(control)}" if control else ""
        lines.append(f"{arm.arm} ({arm.label}): AUROC {describe_change(one)}{against}.")
    if quiet := [(arm.arm, one) for arm, one in mixes if not is_significant(one) and not kinds[arm.arm].shuffled]:
        names = ", ".join(name for name, _ in quiet)
        lines.append(
            f"No detectable difference from the baseline: {names} ({describe_undetected([one for _, one in quiet])})."
        )
    for arm, one in (pair for pair in mixes if kinds[pair[0].arm].shuffled):
        lines.append(
            f"{arm.arm}, the same pictures with labels that say nothing: {describe_difference(one)} from the baseline."
        )
    return lines


def describe_limited_arms(
    kinds: dict[str, Arm], arms: Sequence[ArmResult], pair: tuple[str, str] | None, saw_more: Collection[str]
) -> list[str]:
    """Of the arms with a part of the real pictures and synthetic ones, against as much real data alone."""
    lines = []
    for arm in arms:
        kind = kinds[arm.arm]
        one = arm.difference_from(arm.control) if kind.synthetic and 0 < kind.real < 100 and arm.control else None
        if one is not None and (arm.arm, one.against) != pair:
            leak = f"; but its generator {SAW_ALL}" if arm.arm in saw_more else ""
            lines.append(
                f"{arm.arm} less its control, the same {kind.real:g} % alone: {describe_difference(one)}{leak}."
            )
    return lines


def answer_for_one_arm(arm: ArmResult) -> Answer:
    names = {"accuracy": "accuracy", MAIN: "AUROC", AVERAGE_PRECISION: "AUPRC"}
    shown = {called: arm.metrics[name] for name, called in names.items() if name in arm.metrics}
    metrics = ", ".join(f"{name} {one.mean:.3f} ({one.low:.3f} to {one.high:.3f})" for name, one in shown.items())
    why = "No arm of this study shows what synthetic pictures do beside real ones."
    return Answer(f"One arm alone, {arm.label}: {metrics}.", [why])


def is_significant(one: Difference) -> bool:
    return one.p_holm < LEVEL


def is_within(one: Difference) -> bool:
    """Whether it was shown to lie within the margin, where there is one."""
    return one.margin_holm is not None and one.margin_holm < LEVEL


def decide(one: Difference) -> str:
    """better, worse, within the margin (or both), or undecided."""
    found = [("better" if one.mean > 0 else "worse")] if is_significant(one) else []
    return ", ".join(found + ["within the margin"] * is_within(one)) or "undecided"


def describe_difference(one: Difference) -> str:
    if is_significant(one):
        return f"AUROC {describe_change(one)}"
    return f"no detectable difference ({describe_undetected([one])})"


def describe_change(one: Difference) -> str:
    """ "rose by 0.031 (0.012 to 0.050)"; "changed by ..." where that is not shown."""
    if not is_significant(one):
        return f"changed by {one.mean:+z.3f} ({one.low:+z.3f} to {one.high:+z.3f})"
    if one.mean > 0:
        return f"rose by {one.mean:.3f} ({one.low:.3f} to {one.high:.3f})"
    return f"fell by {-one.mean:.3f} ({-one.high:.3f} to {-one.low:.3f})"


def describe_undetected(found: Sequence[Difference]) -> str:
    """What was seen, and what could have been."""
    means = sorted({f"{one.mean:+z.3f}" for one in found}, key=float)
    seen = " to ".join(dict.fromkeys((means[0], means[-1])))
    smallest = max((one.detectable for one in found if one.detectable is not None), default=None)
    return f"{seen}, where {smallest:.3f} could have been found" if smallest is not None else f"{seen}; nothing varied"


def notes(config: StudyConfig, failed: Sequence[tuple[str, int]], test: TestSet, classes: Sequence[str]) -> list[str]:
    """What a reader must know to weigh the numbers, a line each."""
    lines = [
        "Intervals and p are for a new seed and new patients of the same population; the training pictures are the "
        "same in every trial, so nothing here says how another training set would do. Detectable differences are found "
        "after the correction too, with 80 % power.",
        *(describe_several(test, config.primary is not None) if test.findings else []),
        *describe_families(config),
        *describe_margin(config),
    ]
    if any(0 < arm.real < 100 and not arm.redraw for arm in config.arms):
        lines.append(
            f"Arms with a part of the real data have the same patients with every seed (subset seed "
            f"{config.subset_seed}): nothing here says how another part of that size would do."
        )
    if any(arm.redraw for arm in config.arms):
        lines.append(
            "Arms of the learning curve have other real pictures with each seed, but those with all of them: how lucky "
            "the training part is as a whole, no interval says."
        )
    if len(config.seeds) == 1:
        lines.append("One seed: intervals show chance among the test patients alone, none of training; take five.")
    if len(config.seeds) == 2:
        lines.append("Two seeds: a test at 5 % errs in up to 6 % of studies without a difference, and finds little.")
    gone = {arm: [seed for other, seed in failed if other == arm] for arm, _ in failed}
    lines += [f"{arm}: failed with seed {', '.join(map(str, seeds))}." for arm, seeds in gone.items()]
    for number, name in enumerate(classes):
        shown = set(np.array(test.patients)[test.showing(number)].tolist())
        if len(shown) < FEW:
            lines.append(f"{len(shown)} test patients show {name}: intervals are rough below {FEW}.")
    return lines


def describe_margin(config: StudyConfig) -> list[str]:
    """What is decided beside a difference from 0."""
    if config.margin is None:
        return []
    return [
        f"A difference in AUROC of less than {config.margin:g} was named before the run as one that does not matter. "
        "Within the margin: two one-sided tests at 5 % show that the true difference is less than that to either side, "
        "corrected as the others are. Undecided: neither a difference nor its absence was shown."
    ]


def describe_families(config: StudyConfig) -> list[str]:
    """Which comparisons are tested together, and what so many seeds can see."""
    alone, pairs = primary_pair(config.arms, config.primary), list_pairs(config.arms)
    together, seeds, lines = len(pairs) - (alone is not None), len(config.seeds), []
    if together:
        lines.append(
            f"{'All' if alone is None else 'The other'} {together} comparisons, with the baseline and with controls, "
            "are one family, which Holm's correction holds at about 5 %. Other metrics than AUROC are corrected alike "
            "and decide nothing."
        )
    if alone and together:
        lines.append(
            f"{alone[0]} less {alone[1]} is tested alone at 5 %. So of studies without any effect 5 % err in the "
            "headline, and up to 10 % in headline or details."
        )
    if pairs and seeds > 1:
        levels = {"the primary comparison": LEVEL} if alone else {}
        levels |= {"the others": LEVEL / together} if together else {}
        able = ", in ".join(f"{name} {detectable_in_deviations(seeds, level):.1f}" for name, level in levels.items())
        lines.append(
            f"What {seeds} seeds can see with 80 % power: in {able} standard deviations of a paired difference between "
            "seeds, had the test part no end of patients."
        )
    return lines


def detectable_in_deviations(seeds: int, level: float) -> float:
    """The smallest true difference that so many seeds find at a level with 80 % power, in standard deviations of a
    difference paired by seed."""
    found = Estimate(0.0, 1.0, 1 / np.sqrt(seeds), 1.0, (seeds - 1, seeds - 1)).detectable(level)
    assert found is not None
    return found
