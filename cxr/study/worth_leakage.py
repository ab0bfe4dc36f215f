"""What a generator's pictures are worth against what they give away: a point for each arm of each study."""

from collections.abc import Sequence
from dataclasses import dataclass

from cxr.artifact.metrics import LEAK
from cxr.report.pages import Table
from cxr.study.learning_results import LearningCurve, Worth
from cxr.study.results import Leakage
from cxr.study.worth_words import count_of_100

HOW = (
    "Upwards: how many real pictures did as much as 100 synthetic ones, read off the study's learning curve, with its "
    "95 % interval. To the right: the share of synthetic pictures whose nearest patient is one of the training, above "
    "what chance gives, as the study's audit found it by details. A generator that copies is far to the right; one "
    "that is worth sharing is high, and near 0 here. Near 0 is not 'safe': the audit has further tests."
)


@dataclass(frozen=True)
class Point:
    study: str
    arm: str
    curve: LearningCurve
    worth: Worth
    leakage: Leakage

    @property
    def leaks(self) -> bool:
        """Whether any test of the audit found a leak."""
        return self.leakage.verdict == LEAK


def points_of(study: str, arms: Sequence[str], curve: LearningCurve | None, leakage: Leakage | None) -> list[Point]:
    """
    Args:
        arms: those with pictures of the audited set, as they were labelled.
    """
    if curve is None or leakage is None:
        return []
    read = {one.arm: one for one in curve.readings if curve.tells(one)}
    return [Point(study, arm, curve, read[arm], leakage) for arm in arms if arm in read]


def worth_table(points: Sequence[Point]) -> Table:
    head = ["study", "its arm", "real pictures that 100 synthetic ones were worth"]
    return [*head, "nearest to a training patient, above chance", "audit"], [row(point) for point in points]


def row(point: Point) -> list[str]:
    worth, low, high = count_of_100(point.curve, point.worth)
    nearest = f"{100 * point.leakage.nearest:+z.1f} % of pictures"
    return [point.study, point.arm, f"{worth} ({low} to {high})", nearest, point.leakage.verdict]
