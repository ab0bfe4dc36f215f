"""A study's tables as files: Markdown to read, LaTeX for a paper, CSV with every number for other programs."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from cxr.report.pages import Table, markdown_table
from cxr.study.pages import rows
from cxr.study.results import MAIN, Difference, Gap, Spread, Study, of_finding
from cxr.study.subgroup_results import GroupDifference

MARKS = (
    "Mean over seeds with its 95 % interval. * p < 0.05 and ** p < 0.01 against the baseline, † better than the same "
    "real data alone (p < 0.05), after Holm's correction; the primary arm is tested alone."
)
OF_FINDINGS = (
    "Each finding by itself: mean over seeds with its 95 % interval; the primary arm with its difference, p corrected "
    "over the findings."
)
OF_CLASSES = "Each class against the others: mean over seeds with its 95 % interval."
PHANTOM = " Of phantoms: no number here says anything about patients."
OF_WORTH = {  # columns and the fields of `Worth` that they hold
    "equivalent": "equivalent", "equivalent_low": "equivalent_low", "equivalent_high": "equivalent_high",
    "worth": "worth", "worth_low": "low", "worth_high": "high",
}  # fmt: skip
ESCAPED = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "†": r"$^\dagger$", "<": "$<$", ">": "$>$",
}  # fmt: skip


def files(study: Study) -> dict[str, bytes]:
    """The results and the classes in each form, by file name."""
    phantom = PHANTOM if study.phantom else ""
    about = OF_FINDINGS if study.several else OF_CLASSES
    marks = " ".join([MARKS, *rows.explained(study)]) + phantom
    texts = {
        "results.md": f"{markdown_table(*rows.results(study))}\n\n{marks}\n",
        "results.tex": latex(rows.results(study), marks),
        "results.csv": comma_separated(list(arm_records(study))),
        "trials.csv": comma_separated(list(trial_records(study))),
        "classes.md": f"{markdown_table(*classes(study))}\n\n{about}{phantom}\n",
        "classes.tex": latex(classes(study), about + phantom),
        "classes.csv": comma_separated(list((finding_records if study.several else class_records)(study))),
    }
    if records := list(group_records(study)):
        texts["groups.csv"] = comma_separated(records)
    if study.external:
        tables = [f"{one.name}\n\n{markdown_table(*rows.external(study, one))}\n" for one in study.external]
        texts |= {"external.md": "\n".join(tables), "external.csv": comma_separated(list(external_records(study)))}
    return {name: text.encode() for name, text in texts.items()}


def classes(study: Study) -> Table:
    """A class or a finding of an arm a row."""
    if study.several:
        tables = [(arm, rows.findings(study, arm, whole=True)) for arm in study.arms if arm.metrics]
        head, found = ["arm", *tables[0][1][0]], [[arm.label, *row] for arm, table in tables for row in table[1]]
        return rows.without_empty(head, found)
    head = rows.classes(study.arms[0])[0]
    return ["arm", *head], [[arm.label, *row] for arm in study.arms for row in rows.classes(arm)[1]]


def arm_records(study: Study) -> Iterator[dict[str, object]]:
    """Every metric of an arm, unrounded; then every difference in AUROC, and what a synthetic picture is worth."""
    read = {one.arm: one for one in (study.learning.readings if study.learning else [])}
    for arm in study.arms:
        record = {"arm": arm.arm, "real": arm.real, "synthetic": arm.synthetic, "seeds": len(arm.seeds)}
        for metric in study.metrics:
            record |= prefixed(metric, arm.metrics.get(metric), Spread)
        for role, other in (("baseline", study.baseline), ("control", arm.control)):
            record |= prefixed(f"less_{role}", arm.difference_from(other), Difference)
        found = read.get(arm.arm)
        yield record | {name: getattr(found, field, None) for name, field in OF_WORTH.items()}


def group_records(study: Study) -> Iterator[dict[str, object]]:
    """A group of test pictures of an arm a row, unrounded."""
    for arm in study.arms:
        for one in arm.subgroups:
            record: dict[str, object] = {"arm": arm.arm, "attribute": one.attribute, "value": one.value}
            record |= {"pictures": one.pictures, "patients": one.patients}
            for name in ("auroc", "accuracy", "false_negatives", "false_positives"):
                record |= prefixed(name, getattr(one, name), Spread)
            yield record | prefixed("less_baseline", one.less_baseline, GroupDifference)


def external_records(study: Study) -> Iterator[dict[str, object]]:
    """An arm at another hospital a row: every metric here and there, and its drop, unrounded."""
    for found in study.external:
        for one in found.arms:
            record = {"hospital": found.name, "arm": one.arm, "pictures": found.pictures, "patients": found.patients}
            for metric in one.metrics:
                record |= prefixed(f"{metric}_here", one.inside[metric], Spread)
                record |= prefixed(f"{metric}_there", one.metrics[metric], Spread)
                record |= prefixed(f"{metric}_drop", one.drops[metric], Gap)
            record |= prefixed("extra_drop", one.extra_drop, Gap)
            less = next((d for d in one.differences if (d.against, d.metric) == (study.baseline, MAIN)), None)
            yield record | prefixed("less_baseline", less, Difference)


def trial_records(study: Study) -> Iterator[dict[str, object]]:
    """A trial a row: what it was trained on, and its metrics on the test part."""
    real = next((one.digest for one in study.sources if one.name == "real"), None)
    for arm in study.arms:
        synthetic = next((one.digest for one in study.sources if arm.arm in one.arms), None)
        for seed, metrics in arm.of_seeds.items():
            yield {
                "arm": arm.arm, "seed": seed, "real": arm.real, "synthetic": arm.synthetic, **metrics,
                "classifier": study.settings.get("classifier"), "device": arm.device,
                "real_set": real, "synthetic_set": synthetic,
            }  # fmt: skip


def class_records(study: Study) -> Iterator[dict[str, object]]:
    for arm in study.arms:
        for one in arm.classes:
            record = {"arm": arm.arm, "class": one.finding, "pictures": one.pictures}
            for name in rows.OF_CLASS:
                record |= prefixed(name, getattr(one, name), Spread)
            yield record


def finding_records(study: Study) -> Iterator[dict[str, object]]:
    """Those of the primary arm have the difference in AUROC from the arm that it is compared with."""
    for arm in (arm for arm in study.arms if arm.metrics):
        for name in study.classes:
            record: dict[str, object] = {"arm": arm.arm, "finding": name, "pictures": study.test[name]}
            for metric in rows.ORDER:
                record |= prefixed(metric, arm.metrics.get(of_finding(metric, name)), Spread)
            yield record | prefixed("difference", rows.finding_difference(arm, name), Difference)


def prefixed(
    prefix: str,
    found: Spread | Difference | Gap | GroupDifference | None,
    kind: type[Spread | Difference | Gap | GroupDifference],
) -> dict[str, object]:
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
