"""The tables of a study as rows of text; pages and files are made of them."""

from collections.abc import Iterator

from cxr.report.limits import kind
from cxr.report.pages import Table
from cxr.study.answer import decide
from cxr.study.results import (
    AVERAGE_PRECISION,
    MAIN,
    ArmResult,
    Difference,
    External,
    Gap,
    Spread,
    Study,
    of_finding,
)
from cxr.study.subgroup_results import GroupDifference, SubgroupGap
from cxr.study.worth_words import count_of_100

CALLED = {
    "auroc": "AUROC",
    AVERAGE_PRECISION: "AUPRC",
    "f1": "F1",
    "calibration_error": "ECE",
}  # the others are called by their names
ORDER = (MAIN, AVERAGE_PRECISION)  # that go by the order of the pictures alone
NOTHING = "-"
IN_BOTH = ("sensitivity", "specificity")  # that do not depend on how many pictures show a finding
WIDE = 0.5  # of an interval that says nothing
OF_CLASS = ("auroc", "sensitivity", "specificity", "precision", "f1")


def called(metric: str) -> str:
    return CALLED.get(metric, metric)


def results(study: Study) -> Table:
    """An arm a row: its metrics with intervals and marks, how far from the baseline, and what it was trained on."""
    main, *others = study.metrics
    head = ["arm", called(main), "difference from baseline", "p (Holm)", "decision", *map(called, others)]
    head += ["100 synthetic are worth", "real", "synthetic", "seeds"]
    rows = []
    for arm in study.arms:
        found = arm.difference_from(study.baseline)
        first, *others = (
            spread(arm.metrics.get(metric), marks(study, arm, metric), metric in ORDER) for metric in study.metrics
        )
        decided = decide(found) if found and study.margin else NOTHING
        compared = [gain(found), p_value(found.p_holm), decided] if found else [NOTHING] * 3
        amounts = [worth(study, arm), f"{arm.real:,}", f"{arm.synthetic:,}", seeds(arm)]
        rows.append([named(arm), first, *compared, *others, *amounts])
    return without_empty(head, rows)


def named(arm: ArmResult) -> str:
    """An arm by its label, and as options call it."""
    return f"{arm.label}: {arm.arm}"


def worth(study: Study, arm: ArmResult) -> str:
    """Real pictures that 100 of the arm's synthetic ones are worth."""
    curve = study.learning
    read = next((one for one in curve.readings if one.arm == arm.arm), None) if curve else None
    if curve is None or read is None or not curve.tells(read):
        return NOTHING
    mean, low, high = count_of_100(curve, read)
    return f"{mean} ({low} to {high})"


def without_empty(head: list[str], rows: list[list[str]]) -> Table:
    """Without the columns that have nothing in any row."""
    empty = {NOTHING, f"{NOTHING} ({NOTHING})"}
    kept = [number for number in range(len(head)) if {row[number] for row in rows} - empty]
    return [head[number] for number in kept], [[row[number] for number in kept] for row in rows]


def marks(study: Study, arm: ArmResult, metric: str = MAIN) -> str:
    """`*` p < 0.05 and `**` p < 0.01 against the baseline, to either side, `†` better than the arm's control at 0.05.

    All after Holm's correction.
    """
    base, control = (arm.difference_from(other, metric) for other in (study.baseline, arm.control))
    stars = "" if base is None else "**" if base.p_holm < 0.01 else "*" if base.p_holm < 0.05 else ""
    sign = -1 if metric == "calibration_error" else 1  # of which less is better
    better = control is not None and control.p_holm < 0.05 and sign * control.mean > 0
    return stars + ("†" if better else "")


def seeds(arm: ArmResult) -> str:
    return f"{len(arm.seeds)} of {len(arm.seeds) + len(arm.failed)}" if arm.failed else str(len(arm.seeds))


def spread(found: Spread | None, mark: str = "", always: bool = False) -> str:
    """With its interval, or where that says nothing with the scatter between seeds.

    Args:
        always: show an interval of any width.
    """
    if found is None:
        return NOTHING
    if found.low is not None and (always or is_informative(found)):
        return f"{found.mean:.3f}{mark} ({found.low:.3f} to {found.high:.3f})"
    return f"{found.mean:.3f}{mark}" + (f" (seeds ± {found.sd:.3f})" if found.sd else "")


def is_informative(found: Spread) -> bool:
    """Whether it has an interval of at most half of the scale."""
    return found.low is not None and found.high is not None and found.high - found.low <= WIDE


def explained(study: Study) -> list[str]:
    """What the cells of `results` leave to explain, a sentence or two each."""
    spreads = [(name, found) for arm in study.arms for name, found in arm.metrics.items()]
    lines = []
    if any(found.mean == 1 and name != "calibration_error" for name, found in spreads):
        least = min(found.low for name, found in spreads if found.mean == 1 and found.low is not None)
        lines.append(
            f"1.000 is no mistake on the {study.test_patients:,} test patients, or on those whom a metric counts, and "
            f"not that there would never be one: the truth can be as low as the interval begins, here {least:.3f} "
            "(Clopper and Pearson, on patients)."
        )
    if any(
        name in study.metrics and name not in ORDER and found.low is not None and not is_informative(found)
        for name, found in spreads
    ):
        lines.append(
            "seeds ±: the standard deviation between seeds, in place of an interval that would take in more than half "
            "of the scale. Accuracy, F1, sensitivity and specificity go by a threshold that each seed chooses on the "
            "validation part, so they jump where that is small. AUROC goes by the order of the pictures alone: trust "
            "it first, and take more seeds."
        )
    if any(found.low is None for _, found in spreads):
        lines.append("A metric without an interval varied neither between seeds nor between patients.")
    return lines


def gain(found: Difference | Spread | Gap | GroupDifference | SubgroupGap) -> str:
    if found.low is None:
        return f"{found.mean:+z.3f}"
    return f"{found.mean:+z.3f} ({found.low:+z.3f} to {found.high:+z.3f})"


def p_value(p: float | None) -> str:
    if p is None:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def comparisons(study: Study) -> Table:
    """Every difference in AUROC by every test: each p, in brackets after the correction; the primary one has none."""
    head = ["arm", "compared with", "difference", "p (Holm)", "outside the margin (Holm)"]
    head += ["Welch (Holm)", "DeLong (Holm)"]
    head += ["bootstrap", "detectable"]
    labels = {arm.arm: arm.label for arm in study.arms}
    rows = [
        [
            arm.label, labels.get(d.against, d.against), gain(d), f"{p_value(d.p)} ({p_value(d.p_holm)})",
            f"{p_value(d.margin_p)} ({p_value(d.margin_holm)})",
            f"{p_value(d.welch_p)} ({p_value(d.welch_holm)})", f"{p_value(d.delong_p)} ({p_value(d.delong_holm)})",
            bootstrap(d), NOTHING if d.detectable is None else f"{d.detectable:.3f}",
        ]
        for arm, d in pairs(study)
    ]  # fmt: skip
    return without_empty(head, rows)


def bootstrap(found: Difference) -> str:
    """Nothing where patients drawn anew differ in nothing: it cannot know of others."""
    low, high = found.bootstrap_low, found.bootstrap_high
    return NOTHING if low is None or low == high else f"{low:+z.3f} to {high:+z.3f}"


def pairs(study: Study, metric: str = MAIN) -> Iterator[tuple[ArmResult, Difference]]:
    """The comparisons with the baseline, then those with a control."""
    found = [(arm, d) for arm in study.arms for d in arm.differences if d.metric == metric]
    yield from (pair for pair in found if pair[1].against == study.baseline)
    yield from (pair for pair in found if pair[1].against != study.baseline)


def counts(study: Study) -> Table:
    """Real pictures of each class in each part."""
    parts = {"train": study.train, "validation": study.validation, "test": study.test}
    rows = [[name, *(f"{part.get(name, 0):,}" for part in parts.values())] for name in study.classes]
    rows.append(["all", *(f"{study.count(part):,}" for part in parts)])
    return ["class", *parts], rows


def sources(study: Study) -> Table:
    rows = [
        [s.name, kind(s.kind), f"{s.pictures:,}" if s.pictures else NOTHING, s.digest[:12], s.uri]
        for s in study.sources
    ]
    return ["source", "kind", "pictures", "digest of its recipe", "place"], rows


def subgroups(study: Study) -> dict[str, Table]:
    """AUROC of every arm among the test pictures of each view, sex and decade of age that have one in some arm, a table
    an attribute; groups of several attributes are in `group_rows`."""
    known = {(g.attribute, g.value): g for arm in study.arms for g in arm.subgroups if "+" not in g.attribute}
    tables = {}
    for attribute in dict.fromkeys(name for name, _ in known):
        groups = {value: group for (name, value), group in known.items() if name == attribute}
        rows = []
        for arm in study.arms:
            own = {g.value: g.auroc for g in arm.subgroups if g.attribute == attribute}
            rows.append([arm.label, *(spread(own.get(value), always=True) for value in groups)])
        head = ["arm", *(f"{attribute} {value}: {group.pictures} pictures" for value, group in groups.items())]
        head, rows = without_empty(head, rows)
        if len(head) > 1:
            tables[attribute] = head, rows
    return tables


def external(study: Study, found: External) -> Table:
    """An arm a row: AUROC here and there, how far it falls, how far from the baseline it is there, and what the
    operating points of here do there."""
    both = [name for name in IN_BOTH if any(name in one.metrics for one in found.arms)]
    head = ["arm", "AUROC here", f"AUROC at {found.name}", "drop", "drop less the baseline's"]
    head += ["difference from baseline there", "p (Holm)"]
    head += [f"{called(name)} there" for name in both]
    labels = {arm.arm: arm.label for arm in study.arms}
    rows = []
    for one in found.arms:
        less = next((d for d in one.differences if (d.against, d.metric) == (study.baseline, MAIN)), None)
        rows.append([
            labels[one.arm], spread(one.inside[MAIN], always=True), spread(one.metrics[MAIN], always=True),
            fall(one.drops[MAIN]), fall(one.extra_drop) if one.extra_drop else NOTHING,
            *([gain(less), p_value(less.p_holm)] if less else [NOTHING] * 2),
            *(spread(one.metrics[name]) for name in both),
        ])  # fmt: skip
    return without_empty(head, rows)


def fall(found: Gap) -> str:
    """Without a plus: what is above 0 is a loss."""
    return f"{found.mean:z.3f} ({found.low:z.3f} to {found.high:z.3f})"


def selection_bias(study: Study) -> Table:
    """What choosing the epoch on the test set would have added."""
    rows = [[arm.label, gain(arm.selection_bias)] for arm in study.arms if arm.selection_bias]
    return ["arm", "AUROC of the epoch best on the test set, less that of the chosen one"], rows


def classes(arm: ArmResult) -> Table:
    """Each class of an arm against the others."""
    rows = [
        [c.finding, f"{c.pictures:,}", *(spread(getattr(c, name), always=name == MAIN) for name in OF_CLASS)]
        for c in arm.classes
    ]
    return ["class", "test pictures", *map(called, OF_CLASS)], rows


def findings(study: Study, arm: ArmResult, whole: bool = False) -> Table:
    """Each finding by itself, where pictures can show several; of the primary arm with its difference.

    Args:
        whole: also the columns that have nothing.
    """
    rows = []
    for name in study.classes:
        found = finding_difference(arm, name)
        both = [spread(arm.metrics.get(of_finding(metric, name)), always=True) for metric in ORDER]
        compared = [found.against, gain(found), p_value(found.p_holm)] if found else [NOTHING] * 3
        rows.append([name, f"{study.test[name]:,}", *both, *compared])
    head = ["finding", "test pictures that show it", *map(called, ORDER)]
    head += ["AUROC less that of", "difference", "p (Holm)"]
    return (head, rows) if whole else without_empty(head, rows)


def finding_difference(arm: ArmResult, finding: str) -> Difference | None:
    """In AUROC of one finding, from the arm that it is compared with."""
    return next((one for one in arm.differences if one.metric == of_finding(MAIN, finding)), None)


def confusion(study: Study, arm: ArmResult) -> Table:
    """Rows: true; columns: named; test pictures of all seeds together."""
    counted = [[str(count) if count else "·" for count in row] for row in arm.confusion]
    rows = [[name, *row] for name, row in zip(study.classes, counted, strict=True)] if counted else []
    return ["true \\ named", *study.classes], rows
