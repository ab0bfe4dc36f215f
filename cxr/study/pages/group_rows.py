"""The tables of subgroups as rows of text: who is missed, and the gaps."""

from cxr.report.pages import Table
from cxr.study.pages.rows import NOTHING, gain, p_value, spread, without_empty
from cxr.study.results import MAIN, ArmResult, Study

OF_GAP = {MAIN: "AUROC", "false negatives": "missed", "false positives": "called falsely"}


def groups(arm: ArmResult) -> Table:
    """A group of test pictures a row: AUROC, who is missed and called falsely, and the arm less the baseline there."""
    head = ["group", "pictures", "patients", "AUROC", "missed", "called falsely", "less the baseline", "p (Holm)"]
    rows = [
        [
            f"{one.attribute} {one.value}", f"{one.pictures:,}", f"{one.patients:,}", spread(one.auroc, always=True),
            spread(one.false_negatives), spread(one.false_positives),
            *([gain(one.less_baseline), p_value(one.less_baseline.p_holm)] if one.less_baseline else [NOTHING] * 2),
        ]
        for one in arm.subgroups
    ]  # fmt: skip
    return without_empty(head, rows) if rows else (head, rows)


def gaps(study: Study) -> Table:
    """Of each arm and attribute the worst group and the best, in AUROC and in both kinds of errors."""
    labels = {arm.arm: arm.label for arm in study.arms}
    rows = [
        [labels[arm.arm], one.attribute, OF_GAP[one.metric], one.worst, one.best, gain(one), p_value(one.p)]
        for arm in study.arms
        for one in arm.gaps
    ]
    return ["arm", "groups by", "in", "worst", "best", "gap", "p of all pairs"], rows
