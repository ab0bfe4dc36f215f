"""What a record's metrics hold of what readers of other kinds ask: named and typed. Version 0.1 wrote less of it."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from cxr.artifact.keys import RECORD_KEY
from cxr.artifact.record import Record
from cxr.errors import BadInput

Verdict = Literal["leak found", "not decided at this power", "no leak found at this power", "not tested"]
LEAK: Verdict = "leak found"
UNDECIDED: Verdict = "not decided at this power"
NO_LEAK: Verdict = "no leak found at this power"
UNTESTED: Verdict = "not tested"


class StoredPart(BaseModel):
    """What is read of a stored file; its further entries are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def locate_damage(error: ValidationError) -> str:
    """The first entry that is not what it should be, as a path of names; empty where the file is no JSON."""
    return ".".join(map(str, error.errors()[0]["loc"]))


class Metrics(StoredPart):
    @classmethod
    def read(cls, record: Record) -> Self:
        """Raises `BadInput` where an entry is not what it should be."""
        try:
            return cls.model_validate(record.metrics)
        except ValidationError as error:
            raise BadInput(
                f"{RECORD_KEY} of a {record.kind} artifact is damaged: metrics, {locate_damage(error)}; restore it"
            ) from None

    def write(self) -> dict[str, Any]:
        """As a record holds it."""
        return self.model_dump()


class SourceMetrics(Metrics):
    """Of images or of a model."""

    sources: list[str] | None = None  # of the images that it was made of or learned from; None: see the catalog


class Promise(StoredPart):
    """Of a training with differential privacy by patient."""

    epsilon: float
    delta: float


class FewSteps(StoredPart):
    """How a distilled model is to be sampled: without guidance, as that is in its weights."""

    steps: int
    solver: Literal["ddim"]
    guidance: float  # of its teacher


class ModelMetrics(Metrics):
    privacy: Promise | None = None  # None: its training promised none
    few_steps: FewSteps | None = None  # None: it was not distilled


class LabelMetrics(Metrics):
    """Of images."""

    vocabulary: list[str] | None = None  # the findings that their labels speak of; None: those of the catalog
    exclusive: bool = True  # each shows exactly one of them


class Filtered(StoredPart):
    """How a set of generated images was chosen from those that were made."""

    tests: list[str]
    real: str  # digest of the set that they were judged by
    quota: int  # accepted images of each finding that were wanted
    made: dict[str, int]  # by finding
    accepted: dict[str, int]
    refused: dict[str, int]  # by the first test that refused them
    # Of accepted ones, and of as many drawn from all that were made: recall, coverage and the like
    diversity: dict[str, dict[str, float]] = {}

    @property
    def short(self) -> dict[str, int]:
        """Findings of which fewer were accepted than wanted."""
        return {name: count for name, count in self.accepted.items() if count < self.quota}


class FilterMetrics(Metrics):
    """Of images."""

    filter: Filtered | None = None  # None: all that were made are there


class EvaluationMetrics(Metrics):
    copies: int | None = None  # synthetic images flagged as near-duplicates; None: could not be told
    summary: list[str] = []  # what was found, in words


class AuditMetrics(Metrics):
    verdict: Verdict  # the worst of its tests
    risks: dict[str, Verdict]
    tests: dict[str, Verdict]  # by name
    summary: list[str]  # what was found of each risk, in words
    # Share of the images whose nearest patient, by details, is a training one, above that by chance; None: not tested
    nearest: float | None = None

    @property
    def leaks(self) -> int | None:
        """How many tests found one; None where no test could be made."""
        return None if self.verdict == UNTESTED else list(self.tests.values()).count(LEAK)


class StudyMetrics(Metrics):
    answer: str
    details: list[str] = []
    phantom: bool = False  # its test images are phantoms
    baseline: dict[str, float] = {}  # by metric, the mean over seeds


class NightMetrics(Metrics):
    passed: bool  # its gate
    verdict: str  # one line: passed, or what failed and why
