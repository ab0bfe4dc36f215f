"""A study's tables as files: Markdown to read, LaTeX for a paper, CSV with every figure for other programs."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from cxr.data.split_report import table
from cxr.study.results import METRICS, ArmResult, Difference, Spread, Study

Table = tuple[list[str], list[list[str]]]  # head and rows
CALLED = {"auroc": "AUROC", "f1": "F1", "calibration_error": "ECE"}  # the others are called by their names
MAIN = "auroc"
NOTHING = "-"
OF_CLASS = ("auroc", "sensitivity", "specificity", "precision", "f1")
MARKS = (
    "Mean over seeds with its 95 % interval. * p < 0.05 and ** p < 0.01 against the baseline, † better than the same "
    "real data alone (p < 0.05), after Holm's correction."
)
ESCAPED = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "†": r"$^\dagger$", "<": "$<$", ">": "$>$",
}  # fmt: skip


def files(study: Study) -> dict[str, bytes]:
    """The results and the classes in each form, by file name."""
    texts = {
        "results.md": f"{table(*results(study))}\n\n{MARKS}\n",
        "results.tex": latex(results(study), MARKS),
        "results.csv": comma_separated(list(arm_records(study))),
        "classes.md": table(*classes(study)) + "\n",
        "classes.tex": latex(classes(study), "Each class against the others: mean over seeds with its 95 % interval."),
        "classes.csv": comma_separated(list(class_records(study))),
    }
    return {name: text.encode() for name, text in texts.items()}


def results(study: Study) -> Table:
    """An arm a row."""
    head = ["arm", "real", "synthetic", "seeds", *map(called, METRICS), "AUROC less baseline's", "p (Holm)"]
    rows = []
    for arm in study.arms:
        figures = [spread(arm.figures.get(metric), marks(study, arm, metric)) for metric in METRICS]
        found = difference(arm, study.baseline)
        compared = [gain(found), p_value(found.p_holm)] if found else [NOTHING, NOTHING]
        rows.append([arm.title, f"{arm.real:,}", f"{arm.synthetic:,}", str(len(arm.seeds)), *figures, *compared])
    return head, rows


def classes(study: Study) -> Table:
    """A class of an arm a row."""
    rows = [
        [arm.title, one.finding, f"{one.pictures:,}", *(spread(getattr(one, name)) for name in OF_CLASS)]
        for arm in study.arms
        for one in arm.classes
    ]
    return ["arm", "class", "test pictures", *map(called, OF_CLASS)], rows


def arm_records(study: Study) -> Iterator[dict[str, object]]:
    """Every figure of an arm, unrounded; then every difference in AUROC."""
    for arm in study.arms:
        record = {"arm": arm.arm, "real": arm.real, "synthetic": arm.synthetic, "seeds": len(arm.seeds)}
        for metric in METRICS:
            record |= named(metric, arm.figures.get(metric), Spread)
        for role, other in (("baseline", study.baseline), ("control", arm.control)):
            record |= named(f"less_{role}", difference(arm, other), Difference)
        yield record


def class_records(study: Study) -> Iterator[dict[str, object]]:
    for arm in study.arms:
        for one in arm.classes:
            record = {"arm": arm.arm, "class": one.finding, "pictures": one.pictures}
            for name in OF_CLASS:
                record |= named(name, getattr(one, name), Spread)
            yield record


def named(prefix: str, found: Spread | Difference | None, kind: type) -> dict[str, object]:
    """Its fields as columns, empty where it is missing."""
    fields = asdict(found) if found else dict.fromkeys(kind.__dataclass_fields__)
    return {f"{prefix}_{name}": value for name, value in fields.items()}


def comma_separated(records: Sequence[dict[str, object]]) -> str:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, records[0] if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return sink.getvalue()


def latex(cells: Table, caption: str) -> str:
    """A table for the package booktabs."""
    head, *rows = (" & ".join(map(escaped, row)) + r" \\" for row in (cells[0], *cells[1]))
    columns = "l" + "r" * (len(cells[0]) - 1)
    body = [r"\toprule", head, r"\midrule", *rows, r"\bottomrule"]
    lines = [rf"\caption{{{escaped(caption)}}}", rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"]
    return "\n".join([r"\begin{table}", r"\centering", *lines, r"\end{table}", ""])


def escaped(text: str) -> str:
    return "".join(ESCAPED.get(letter, letter) for letter in text)


def called(metric: str) -> str:
    return CALLED.get(metric, metric)


def difference(arm: ArmResult, against: str | None, metric: str = MAIN) -> Difference | None:
    """The arm less another in a metric, where it was measured."""
    return next((one for one in arm.differences if (one.against, one.metric) == (against, metric)), None)


def marks(study: Study, arm: ArmResult, metric: str = MAIN) -> str:
    """`*` p < 0.05 and `**` p < 0.01 against the baseline, to either side; `†` better than the arm's control."""
    base, control = (difference(arm, other, metric) for other in (study.baseline, arm.control))
    stars = "" if base is None else "**" if base.p_holm < 0.01 else "*" if base.p_holm < 0.05 else ""
    sign = -1 if metric == "calibration_error" else 1  # of which less is better
    better = control is not None and control.p_holm < 0.05 and sign * control.mean > 0
    return stars + ("†" if better else "")


def spread(found: Spread | None, mark: str = "") -> str:
    """The interval is left out where nothing varied: no test patient was named wrong, or all were."""
    if found is None:
        return NOTHING
    between = f" ({found.low:.3f} to {found.high:.3f})" if found.low < found.high else ""
    return f"{found.mean:.3f}{mark}{between}"


def gain(found: Difference) -> str:
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def p_value(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"
