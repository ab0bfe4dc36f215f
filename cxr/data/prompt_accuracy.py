"""Prompt accuracy: do generated pictures show what was asked for? What was found, and what follows for their labels.

A classifier of real pictures errs itself: it sees a finding in `sensitivity` of the real pictures that have it, and in
`false_alarms` of those that have another. If a share x of the pictures asked for the finding shows it, and the rest
looks like the other real pictures, it sees the finding in x * sensitivity + (1 - x) * false_alarms of them. Solved for
x (Rogan and Gladen 1978, Am. J. Epidemiol. 107, 71), that is the share of labels that are right.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cxr.artifact.quality import PromptAccuracies

PROMPT_ACCURACY = "prompt_accuracy"  # in the metrics of a set that an evaluation left: see `record_accuracies`
MOSTLY, ALL = 0.5, 0.995  # of the labels
MIN_DIFFERENCE = 0.2  # sensitivity less false alarms; below, x is the quotient of two small and noisy numbers


@dataclass(frozen=True)
class PromptAccuracy:
    """Of the pictures that one finding was asked for."""

    finding: str
    seen: int  # pictures in which the classifier sees it
    total: int
    sensitivity: float
    false_alarms: float | None  # None: only this finding was compared

    @property
    def right(self) -> float | None:
        """The share of labels that are right, 0 to 1; None where the classifier cannot tell."""
        return self._right_if_seen_in(self.seen / self.total)

    @property
    def mostly_wrong(self) -> bool:
        """Whether less than half of its labels are right, even if as many show it as the 95 % interval allows."""
        from cxr.report.proportions import clopper_pearson

        most = self._right_if_seen_in(clopper_pearson(self.seen / self.total, self.total)[1])
        return most is not None and most < MOSTLY

    def _right_if_seen_in(self, share: float) -> float | None:
        others = self.false_alarms or 0.0
        if self.sensitivity - others < MIN_DIFFERENCE:
            return None
        return min(1.0, max(0.0, (share - others) / (self.sensitivity - others)))

    def __str__(self) -> str:
        others = "" if self.false_alarms is None else f" and in {_percent(self.false_alarms)} of real ones of others"
        labels = "too alike to say how many of these labels are right"
        if self.right is not None:
            labels = f"so about {_percent(self.right)} of these labels are right"
        return (
            f"asked for {self.finding}, {self.seen} of {self.total} pictures show it to a classifier of real ones "
            f"({_percent(self.seen / self.total)}); it sees it in {_percent(self.sensitivity)} of real ones of "
            f"{self.finding}{others}, {labels}"
        )


def judge_labels(found: Sequence[PromptAccuracy]) -> str:
    """The verdict on a set's labels, in words."""
    rights = {one.finding: one.right for one in found if one.right is not None}
    if wrong := [one.finding for one in found if one.mostly_wrong]:
        return f"mostly wrong for {', '.join(wrong)}, so do not train on these pictures"
    if not rights:
        return "not to be judged, because the classifier hardly tells real pictures of these findings apart"
    worst = min(rights, key=lambda finding: rights[finding])
    lowest = f"about {_percent(rights[worst])} right for {worst}" + (
        ", fewer than for any other" if len(rights) > 1 else ""
    )
    blind = [one.finding for one in found if one.right is None]
    rest = f"; not to be judged for {', '.join(blind)}" if blind else ""
    return ("right, as far as the classifier can tell" if rights[worst] > ALL else lowest) + rest


def prompt_accuracies(measured: PromptAccuracies | None) -> list[PromptAccuracy]:
    """By finding, of what an evaluation measured; empty if it could not."""
    if measured is None:
        return []
    real = measured.real
    return [
        PromptAccuracy(
            finding, asked.count, asked.total, real.findings[finding].share, share_of_false_alarms(measured, finding)
        )
        for finding, asked in measured.synthetic.findings.items()
    ]


def share_of_false_alarms(measured: PromptAccuracies, finding: str) -> float | None:
    """In how many of the real pictures that do not show it the finding is seen; where findings exclude each other, of
    those that show another compared one."""
    real = measured.real
    if not real.counts:
        return real.absent[finding].share if finding in real.absent else None
    column = measured.findings.index(finding)
    others = [row for name, row in zip(real.findings, real.counts, strict=True) if name != finding]
    return sum(row[column] for row in others) / sum(map(sum, others)) if others else None


def record_accuracies(found: list[PromptAccuracy]) -> list[dict[str, Any]]:
    """For the record of a set that is shared: of the real pictures shares in whole percents, and no counts."""
    rounded = ({name: round(v, 2) if isinstance(v, float) else v for name, v in asdict(one).items()} for one in found)
    return list(rounded)


def read_accuracies(entries: list[dict[str, Any]] | None) -> list[PromptAccuracy]:
    return [PromptAccuracy(**one) for one in entries or ()]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
