"""`quality.json` of an evaluation as other stages read it: what they use of it, some under the names of version 0.1."""

from pydantic import Field, ValidationError

from cxr.artifact.keys import QUALITY_KEY
from cxr.artifact.metrics import StoredPart, locate_damage
from cxr.errors import BadInput
from cxr.store import Store


class Interval(StoredPart):
    value: float
    low: float
    high: float
    # Of a metric: less what sets of this size add on average. The interval is for it; version 0.1 has none.
    corrected: float | None = None


class Reference(Interval):
    """Between two halves of the real set."""

    synthetic: float  # the synthetic set's value at the halves' size


class MeasuredMetric(StoredPart):
    interval: Interval
    reference: Reference = Field(alias="floor")


class Group(StoredPart):
    finding: str = "all"
    real_count: int = 0
    synthetic_count: int = 0
    metrics: dict[str, MeasuredMetric] = Field(alias="figures")


class Rate(StoredPart):
    """A share with its 95 % interval."""

    share: float
    low: float
    high: float


class CountedRate(Rate):
    count: int
    total: int


class SeenFindings(StoredPart):
    """What the classifier sees in one set."""

    agree: Rate  # all findings together
    findings: dict[str, CountedRate]
    # A row a compared finding, a column each that the classifier knows; empty where a picture can show several.
    counts: list[list[int]]
    # Version 0.1 has neither: how well it tells pictures that should show a finding from those that should not, and in
    # how many of the latter it sees it.
    aurocs: dict[str, Interval] = Field({})
    absent: dict[str, CountedRate] = Field({})

    def worst(self) -> str:
        """The finding with the lowest lower bound."""
        return min(self.findings, key=lambda name: self.findings[name].low)


class PromptAccuracies(StoredPart):
    findings: list[str]  # that the classifier knows
    real: SeenFindings
    synthetic: SeenFindings


class NearCopies(StoredPart):
    rate: Rate
    held_out: Rate | None
    beyond_chance: bool


class SyntheticSet(StoredPart):
    pictures: int


class Quality(StoredPart):
    extractor: str
    against: str
    synthetic: SyntheticSet
    groups: list[Group]  # the first is of all findings
    prompt_accuracy: PromptAccuracies | None = Field(alias="agreement")
    copies: NearCopies | None


def read_quality(evaluation: Store) -> Quality:
    """Raises `BadInput` where the file is not what an evaluation writes; `KeyError` where there is none."""
    try:
        return Quality.model_validate_json(evaluation.get(QUALITY_KEY))
    except ValidationError as error:
        where = locate_damage(error) or "its JSON"
        raise BadInput(f"{evaluation.uri}/{QUALITY_KEY}: is damaged: {where}; restore it, or evaluate again") from None
