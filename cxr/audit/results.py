"""What an audit finds, in named records: `audit.json`, and without names `summary.json`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cxr.artifact.metrics import LEAK, NO_LEAK, UNDECIDED, UNTESTED, Verdict

# The three risks of Article 29 Working Party, Opinion 05/2014 (WP216), section 2.2; EDPB Opinion 28/2024, paragraph 43,
# asks of a model that extraction and inference be very unlikely.
SINGLING_OUT, LINKABILITY, INFERENCE = "singling out", "linkability", "inference"
RISKS = {
    SINGLING_OUT: "Does a picture show one particular training patient?",
    LINKABILITY: "Can a picture be linked to other records of the same patient?",
    INFERENCE: "Can it be told whether somebody was in the training data?",
}


@dataclass(frozen=True)
class AttackResult:
    """One test: what it asked, what it found, and what it could have found."""

    name: str
    risks: tuple[str, ...]
    verdict: Verdict
    reason: str  # why it was not tested or not decided; else empty
    question: str
    result: str = ""
    limit: str = ""
    power: str = ""
    metrics: dict[str, float | dict[str, float] | None] | None = None

    @property
    def decision(self) -> str:
        return f"{self.verdict}, because {self.reason}" if self.reason else self.verdict


@dataclass(frozen=True)
class Pair:
    """A synthetic picture and the training picture that it is most like. Names a patient."""

    synthetic: str  # image id
    original: str  # image id
    patient: str
    detector: str
    likeness: float  # correlation, or matched key points
    flagged: bool  # above the detector's threshold
    clear: bool  # above what chance reaches in a whole set
    key: str  # of the picture that shows both


@dataclass(frozen=True)
class Audit:
    """All of an audit; `notes` is what a reader must know besides. `pairs` alone names patients."""

    real: str  # digest of the catalog
    synthetic: str
    pictures: int  # synthetic ones
    patients: dict[str, int]  # real ones, by part of the split; of the training part those compared
    tests: list[AttackResult]
    notes: list[str]
    pairs: list[Pair]

    @property
    def verdict(self) -> Verdict:
        return join_verdicts(self.tests)

    @property
    def risks(self) -> dict[str, Verdict]:
        return {risk: join_verdicts([test for test in self.tests if risk in test.risks]) for risk in RISKS}

    def untested(self, risk: str) -> list[str]:
        """Names of the tests of a risk that were not made."""
        return [test.name for test in self.tests if risk in test.risks and test.verdict == UNTESTED]

    def summary(self) -> dict[str, Any]:
        """What can be passed on: no patient, no picture, no name of either."""
        risks = {risk: {"verdict": verdict, "not_tested": self.untested(risk)} for risk, verdict in self.risks.items()}
        whole = {name: value for name, value in asdict(self).items() if name != "pairs"}
        return {"verdict": self.verdict, "risks": risks, **whole, "near_duplicates_shown": len(self.pairs)}

    def summary_json(self) -> bytes:
        return encode(self.summary())

    def json(self) -> bytes:
        return encode({**self.summary(), "pairs": [asdict(pair) for pair in self.pairs]})


def join_verdicts(tests: Sequence[AttackResult]) -> Verdict:
    """The worst that any test found."""
    order = (LEAK, UNDECIDED, NO_LEAK)
    return next((verdict for verdict in order if any(test.verdict == verdict for test in tests)), UNTESTED)


def encode(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
