"""The tables of a study as rows of text; pages and files are made of them."""

from collections.abc import Iterator

from cxr.report.html import Table
from cxr.report.limits import kind
from cxr.study.results import MAIN, METRICS, ArmResult, Difference, Spread, Study

CALLED = {"auroc": "AUROC", "f1": "F1", "calibration_error": "ECE"}  # the others are called by their names
NOTHING = "-"
OF_CLASS = ("auroc", "sensitivity", "specificity", "precision", "f1")


def called(metric: str) -> str:
    return CALLED.get(metric, metric)


def results(study: Study) -> Table:
    """An arm a row: its metrics with intervals and marks, how far from the baseline, and what it was trained on."""
    main, *others = METRICS
    head = ["arm", called(main), "less baseline's", "p (Holm)", *map(called, others), "real", "synthetic", "seeds"]
    rows = []
    for arm in study.arms:
        found = arm.less(study.baseline)
        first, *figures = (spread(arm.figures.get(metric), marks(study, arm, metric)) for metric in METRICS)
        compared = [gain(found), p_value(found.p_holm)] if found else [NOTHING, NOTHING]
        rows.append([arm.title, first, *compared, *figures, f"{arm.real:,}", f"{arm.synthetic:,}", seeds(arm)])
    return head, rows


def marks(study: Study, arm: ArmResult, metric: str = MAIN) -> str:
    """`*` p < 0.05 and `**` p < 0.01 against the baseline, to either side, `†` better than the arm's control at 0.05.

    All after Holm's correction.
    """
    base, control = (arm.less(other, metric) for other in (study.baseline, arm.control))
    stars = "" if base is None else "**" if base.p_holm < 0.01 else "*" if base.p_holm < 0.05 else ""
    sign = -1 if metric == "calibration_error" else 1  # of which less is better
    better = control is not None and control.p_holm < 0.05 and sign * control.mean > 0
    return stars + ("†" if better else "")


def seeds(arm: ArmResult) -> str:
    return f"{len(arm.seeds)} of {len(arm.seeds) + len(arm.failed)}" if arm.failed else str(len(arm.seeds))


def spread(found: Spread | None, mark: str = "") -> str:
    """The interval is left out where nothing varied: no test patient was named wrong, or all were."""
    if found is None:
        return NOTHING
    between = f" ({found.low:.3f} to {found.high:.3f})" if found.low < found.high else ""
    return f"{found.mean:.3f}{mark}{between}"


def gain(found: Difference | Spread) -> str:
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def p_value(p: float | None) -> str:
    if p is None:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def comparisons(study: Study) -> Table:
    """Every difference in AUROC by every test: each p, and in brackets after the correction over the arms."""
    head = ["arm", "less", "difference", "p (Holm)", "Welch (Holm)", "DeLong (Holm)", "bootstrap", "detectable"]
    titles = {arm.arm: arm.title for arm in study.arms}
    rows = [
        [
            arm.title, titles.get(d.against, d.against), gain(d), f"{p_value(d.p)} ({p_value(d.p_holm)})",
            f"{p_value(d.welch_p)} ({p_value(d.welch_holm)})", f"{p_value(d.delong_p)} ({p_value(d.delong_holm)})",
            NOTHING if d.bootstrap_low is None else f"{d.bootstrap_low:+.3f} to {d.bootstrap_high:+.3f}",
            NOTHING if d.detectable is None else f"{d.detectable:.3f}",
        ]
        for arm, d in pairs(study)
    ]  # fmt: skip
    return head, rows


def pairs(study: Study, metric: str = MAIN) -> Iterator[tuple[ArmResult, Difference]]:
    """The comparisons with the baseline, then those with a control."""
    found = [(arm, d) for arm in study.arms for d in arm.differences if d.metric == metric]
    yield from (pair for pair in found if pair[1].against == study.baseline)
    yield from (pair for pair in found if pair[1].against != study.baseline)


def counts(study: Study) -> Table:
    """Real pictures of each class in each part."""
    parts = {"train": study.train, "validation": study.validation, "test": study.test}
    rows = [[name, *(f"{part.get(name, 0):,}" for part in parts.values())] for name in study.classes]
    rows.append(["all", *(f"{sum(part.values()):,}" for part in parts.values())])
    return ["class", *parts], rows


def sources(study: Study) -> Table:
    rows = [
        [s.name, kind(s.kind), f"{s.pictures:,}" if s.pictures else NOTHING, s.digest[:12], s.uri]
        for s in study.sources
    ]
    return ["source", "kind", "pictures", "digest of its recipe", "place"], rows


def subgroups(study: Study) -> Table:
    """AUROC of every arm among the test pictures of each view, sex and decade of age."""
    groups = {(g.attribute, g.value): g for arm in study.arms for g in arm.subgroups}
    head = ["arm", *(f"{name} {value}: {g.pictures} pictures" for (name, value), g in groups.items())]
    rows = []
    for arm in study.arms:
        own = {(g.attribute, g.value): g.auroc for g in arm.subgroups}
        rows.append([arm.title, *(spread(own.get(group)) for group in groups)])
    return head, rows if groups else []


def optimism(study: Study) -> Table:
    """What choosing the epoch on the test set would have added."""
    rows = [[arm.title, gain(arm.optimism)] for arm in study.arms if arm.optimism]
    return ["arm", "AUROC of the epoch best on the test set, less that of the chosen one"], rows


def classes(arm: ArmResult) -> Table:
    """Each class of an arm against the others."""
    rows = [[c.finding, f"{c.pictures:,}", *(spread(getattr(c, name)) for name in OF_CLASS)] for c in arm.classes]
    return ["class", "test pictures", *map(called, OF_CLASS)], rows


def confusion(study: Study, arm: ArmResult) -> Table:
    """Rows: true; columns: named; test pictures of all seeds together."""
    counted = [[str(count) if count else "·" for count in row] for row in arm.confusion]
    rows = [[name, *row] for name, row in zip(study.classes, counted, strict=True)] if counted else []
    return ["true \\ named", *study.classes], rows
