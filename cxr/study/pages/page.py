"""A study as one static HTML page: figures inside it, no script, nothing from another address."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cxr.artifact.quality import Interval, Quality, Rate
from cxr.report.pages import Table, embedded, render
from cxr.report.words import duration, metric_label, number, percent
from cxr.study.pages import group_rows, rows
from cxr.study.results import Study

GRID = "grid.png"  # real pictures above synthetic ones
# Name and caption of each figure, by its file beside the page, in the order of the page.
FIGURES = {
    "differences.png": (
        "Differences in AUROC",
        "An interval that crosses zero leaves open who is better. The gray band shows which true differences this "
        "study was too small to find with 80 % power, after the correction.",
    ),
    "learning.png": (
        "Learning curve",
        "AUROC of real pictures alone against how many they are, with its 95 % band; the dashed part was not measured. "
        "Arms with synthetic pictures stand where the curve has their AUROC, with the interval of that number of real "
        "pictures; an arrow: or beyond.",
    ),
    "roc.png": ("ROC curves", "Mean over seeds on the test set; the other arms are behind each curve in gray."),
    "accuracy.png": (
        "Accuracy",
        "On the test set, mean over seeds with its 95 % interval, where that says anything. The dashed line is the "
        "baseline's mean.",
    ),
    "training.png": (
        "Training curves",
        "AUROC of the validation part. Thin lines are seeds, the thick one is their mean, dots are the epochs that "
        "validation chose.",
    ),
    "dose.png": ("Dose and response", "AUROC on the test set against the number of synthetic pictures and the time."),
    "confusion.png": (
        "Confusion",
        "Test pictures of all seeds, shaded by share of the true class: the baseline, and the arm with the highest "
        "AUROC.",
    ),
    "optimism.png": (
        "Test-set selection bias",
        "What the AUROC would have gained, had the epoch been chosen on the test set. No other number of this page is "
        "chosen so.",
    ),
}
OF_RECORD = ("recipe", "seeds", "versions", "device")  # what the page shows of an artifact's record


def page(
    study: Study,
    records: Mapping[str, Mapping[str, Any]],
    pictures: Mapping[str, bytes],
    quality: Quality | None = None,
    files: Sequence[str] = (),
) -> str:
    """The page, to be stored beside its pictures.

    Args:
        records: of the study itself and of its sources, by name, what `record.json` holds.
        pictures: PNG files by the name that they have beside the page: `plots.draw(study)`, and `GRID` where there is
            one. They are shown at screen resolution and link to the file.
        quality: of the evaluation of the synthetic set, where there is one.
        files: names of the results in other forms beside the page.
    """
    return render(
        "study.html",
        study=study,
        rows=rows,
        group_rows=group_rows,
        figures=[(*FIGURES[name], embedded(pictures[name]), name) for name in FIGURES if name in pictures],
        grid=(GRID, embedded(pictures[GRID])) if GRID in pictures else None,
        quality=quality_table(quality) if quality else None,
        recipes={name: record_excerpt(record) for name, record in records.items()},
        facts=facts(study),
        files=files,
    )


def facts(study: Study) -> dict[str, str]:
    """The size of the study."""
    trials = sum(len(arm.seeds) for arm in study.arms)
    failed = sum(len(arm.failed) for arm in study.arms)
    seconds = 3600 * sum(arm.hours for arm in study.arms)
    tested, patients = study.count("test"), study.test_patients
    devices = ", ".join(sorted({arm.device for arm in study.arms if arm.seeds}))
    return {
        "real pictures to train on": f"{study.count('train'):,}",
        "test pictures": f"{tested:,}" + (f" of {patients:,} patients" if patients < tested else ""),
        "arms": str(len(study.arms)),
        "trials": f"{trials}, {failed} failed" if failed else str(trials),
        "training took": f"{duration(seconds)} on {devices}",
    }


def quality_table(quality: Quality) -> Table:
    """The synthetic set against the real one, and what real pictures have in its place."""
    head = ["metric", "synthetic", "real halves in its place", "synthetic at the halves' size"]
    found = [
        [
            metric_label(quality.extractor, name),
            between(metric.interval), between(metric.reference), number(metric.reference.synthetic),
        ]
        for name, metric in quality.groups[0].metrics.items()
    ]  # fmt: skip
    if seen := quality.prompt_accuracy:
        agrees = [rate(side.agree) for side in (seen.synthetic, seen.real)]
        found.append(["a classifier sees the asked finding", *agrees, rows.NOTHING])
        aurocs = seen.synthetic.aurocs
        if worst := min(aurocs, key=lambda name: aurocs[name].low, default=""):
            both = [between(side.aurocs[worst]) for side in (seen.synthetic, seen.real)]
            found.append([f"AUROC of a classifier, asked for {worst} or not, the worst finding", *both, rows.NOTHING])
    if (copies := quality.copies) is None:
        found.append(["flagged as near-duplicates: not possible to tell", *[rows.NOTHING] * 3])
    else:
        held_out = rate(copies.held_out) if copies.held_out else rows.NOTHING
        found.append(["flagged as near-duplicates of a training picture", rate(copies.rate), held_out, rows.NOTHING])
    return head, found


def between(found: Interval) -> str:
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})"


def rate(found: Rate) -> str:
    return percent(found.share, found.low, found.high)


def record_excerpt(record: Mapping[str, Any]) -> str:
    return json.dumps({name: record[name] for name in OF_RECORD if record.get(name)}, indent=2, ensure_ascii=False)
