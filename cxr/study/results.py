"""What trials leave and what a study finds, in named records: `trials/<arm>/<seed>/result.json` and `results.json`."""

import json
import operator
from dataclasses import asdict, dataclass, field
from typing import Annotated

import numpy as np
from pydantic import Field, TypeAdapter

from cxr.artifact.metrics import Verdict
from cxr.classify.curve import ValidationPoint
from cxr.errors import BadInput
from cxr.store import Store
from cxr.study.learning_results import LearningCurve
from cxr.study.subgroup_results import GroupDifference, SubgroupGap

MAIN = "auroc"  # the metric that the answer is about
AVERAGE_PRECISION = "average_precision"  # of studies of several findings a picture, beside AUROC
METRICS = (MAIN, "accuracy", "f1", "sensitivity", "specificity", "calibration_error")


@dataclass(frozen=True)
class Trial:
    """One arm with one seed."""

    arm: str
    seed: int
    real: int  # distinct pictures trained on
    synthetic: int
    steps: int
    best: int  # the point of `curve` that validation chose, and whose scores these are
    curve: list[ValidationPoint]
    scores: list[list[float]]  # class probabilities of the test pictures, in the order of `Design.test`
    device: str
    seconds: float
    # Chosen on validation; those of version 0.1 were read as they came.
    temperature: float = 1.0
    threshold: float | None = None
    # The same of each external set, by its name: in the order of its pictures
    external: dict[str, list[list[float]]] = field(default_factory=dict)
    generator: int = 0  # number of the synthetic set, of several trainings of a generator


@dataclass(frozen=True)
class TestSet:
    """The test part, the same for every trial. All sequences are in one order, a picture each."""

    __test__ = False  # no test of pytest's

    image_ids: list[str]
    labels: list[int] | list[list[float]]  # class numbers; or by finding 1, 0 and not a number
    patients: list[str]  # a picture without a patient is one of its own
    groups: dict[str, list[str | None]]  # view, sex, age (decades: "40-49"): the picture's value
    findings: tuple[str, ...] = ()  # of `labels`, where a picture can show several

    def showing(self, number: int) -> np.ndarray:
        """Which pictures show a class or a finding, bool [N]."""
        labels = np.array(self.labels)
        return labels[:, number] == 1 if self.findings else labels == number


@dataclass(frozen=True)
class Spread:
    """A metric over the seeds of an arm, with its 95 % interval."""

    mean: float
    sd: float | None  # between seeds; None with one seed
    low: float | None  # None, as `high` is, where nothing is known of how it varies
    high: float | None


@dataclass(frozen=True)
class Difference:
    """An arm less another, in one metric, with its 95 % interval."""

    against: str
    metric: str
    mean: float  # of the differences paired by seed
    low: float
    high: float
    p: float  # that the interval belongs to
    p_holm: float  # corrected over the family; p itself for the primary arm, which is tested alone
    welch_p: float | None  # the guide's; None with fewer than two seeds
    welch_holm: float | None
    delong_p: float | None  # AUROC only
    delong_holm: float | None
    bootstrap_low: float | None  # AUROC only: patients drawn anew
    bootstrap_high: float | None
    detectable: float | None  # smallest true one that is found after the correction, with 80 % power; None: no scatter
    margin_p: float | None = None  # that the true one is the margin or more, to either side; None: no margin, no AUROC
    margin_holm: float | None = None


@dataclass(frozen=True)
class Subgroup:
    """An arm's metrics among the test pictures of one view, sex or decade of age, or of one of each of several."""

    attribute: str
    value: str
    pictures: int
    patients: int
    auroc: Spread | None  # None where it does not show every class, or too few
    accuracy: Spread
    # At each trial's operating point; None of three classes or more, and where fewer than two patients can be missed
    false_negatives: Spread | None = None
    false_positives: Spread | None = None
    less_baseline: GroupDifference | None = None  # in AUROC


@dataclass(frozen=True)
class ClassMetrics:
    """One class against the others."""

    finding: str
    pictures: int
    auroc: Spread
    sensitivity: Spread
    specificity: Spread
    precision: Spread
    f1: Spread


@dataclass(frozen=True)
class ArmResult:
    """All that was found of an arm. `results.json` has some fields under the names of version 0.1."""

    arm: str
    label: Annotated[str, Field(serialization_alias="title")]  # in words: "100 % real + 25 % synthetic"
    control: str | None
    real: int
    synthetic: int
    seeds: list[int]  # that ended well
    failed: list[int]
    # by METRICS; of several findings a picture see `several.measure_findings`
    metrics: Annotated[dict[str, Spread], Field(serialization_alias="figures")]
    differences: list[Difference]  # by metric against the baseline, then against the control
    classes: list[ClassMetrics]
    confusion: list[list[int]]  # [true][named], all seeds together
    roc: list[list[float]]  # [false positive rate, true positive rate]: mean over seeds at 101 rates
    curves: dict[int, list[ValidationPoint]]  # by seed
    best: dict[int, int]  # the chosen point of each curve
    # AUROC of the epoch that is best on the test set, less that of the chosen one
    selection_bias: Annotated[Spread | None, Field(serialization_alias="optimism")]
    subgroups: list[Subgroup]
    hours: float  # of all its trials, on `device`
    device: str
    of_seeds: dict[int, dict[str, float]] = field(default_factory=dict)  # by METRICS, of each trial
    gaps: list[SubgroupGap] = field(default_factory=list)

    def difference_from(self, other: str | None, metric: str = MAIN) -> Difference | None:
        """This arm less another in a metric, where it was measured."""
        return next((one for one in self.differences if (one.against, one.metric) == (other, metric)), None)


@dataclass(frozen=True)
class Gap:
    """A difference with its 95 % interval."""

    mean: float
    low: float
    high: float
    p: float  # that it is 0; not corrected


@dataclass(frozen=True)
class ExternalArm:
    """An arm at another hospital."""

    arm: str
    metrics: dict[str, Spread]  # there, by METRICS
    inside: dict[str, Spread]  # on the study's own test part; of several findings of those that both can measure
    drops: dict[str, Gap]  # inside less there
    extra_drop: Gap | None  # of AUROC, less the baseline's
    differences: list[Difference]  # there, as `ArmResult.differences`


@dataclass(frozen=True)
class External:
    """What was found at another hospital."""

    name: str
    pictures: int
    patients: int
    classes: dict[str, int]  # pictures that show each
    left_out: int  # pictures that the study has no label for
    arms: list[ExternalArm]


AUDITED = "audit"  # what a source that is one is called


@dataclass(frozen=True)
class Source:
    """A set of images, or an artifact, that the study read."""

    name: str  # real, synthetic, evaluation, audit
    uri: str
    kind: str
    digest: str  # of its recipe
    pictures: int  # 0 of an evaluation or audit
    arms: list[str] = field(default_factory=list)  # that take their synthetic pictures from it


@dataclass(frozen=True)
class Leakage:
    """What an audit of the main synthetic set got, as comparisons of studies draw it."""

    verdict: Verdict  # of all of its tests
    nearest: float  # share of the pictures whose nearest patient is a training one, above that by chance


@dataclass(frozen=True)
class Study:
    """What `results.json` holds; all that the report says comes from here and from the records of the sources."""

    answer: str  # the headline: one sentence in words
    phantom: bool  # tested on phantoms: nothing here is about patients
    classes: list[str]  # the last is the positive one where there are two
    baseline: str
    budget: str  # steps or epochs
    arms: list[ArmResult]
    train: dict[str, int]  # real pictures of each class
    validation: dict[str, int]
    test: dict[str, int]
    test_patients: int
    settings: dict[str, str]  # every setting of the protocol, in words, for the methods text
    sources: list[Source]
    allowed: list[str]  # what `--allow-...` let pass, in words
    notes: list[str]  # what a reader must know besides
    details: list[str] = field(default_factory=list)  # sentences beneath the headline
    margin: float | None = None  # a difference in AUROC that does not matter; None: none was named
    primary: str | None = None  # the arm that was named before the run and is tested alone
    origins: dict[str, str] = field(default_factory=dict)  # what the pictures of each part are, in words
    learning: LearningCurve | None = None  # where the study has real-only arms of enough sizes
    leakage: Annotated[Leakage | None, Field(exclude_if=operator.not_)] = None  # where an audit could tell
    external: Annotated[list[External], Field(exclude_if=operator.not_)] = field(default_factory=list)
    # by part, where they can show several findings; else each is counted once in `train`, `validation` and `test`
    pictures: Annotated[dict[str, int], Field(exclude_if=operator.not_)] = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """Whether a picture can show several findings, which are then the `classes`."""
        return bool(self.pictures)

    @property
    def metrics(self) -> list[str]:
        """Those of whole arms."""
        found = next((arm.metrics for arm in self.arms if arm.metrics), {})
        return [name for name in (*METRICS, AVERAGE_PRECISION) if name in found]

    def count(self, part: str) -> int:
        """Real pictures of a part."""
        return self.pictures.get(part, sum(getattr(self, part).values()))


def of_finding(metric: str, finding: str) -> str:
    """The name of a metric of one finding, among those of an arm."""
    return f"{metric} of {finding}"


def trial_key(arm: str, seed: int) -> str:
    return f"trials/{arm}/{seed}/result.json"


def trial_json(trial: Trial, recipe: str) -> bytes:
    """With the digest of the study's recipe, which a reader asks for."""
    return json.dumps({"recipe": recipe, **asdict(trial)}, indent=1).encode() + b"\n"


def read_trial(store: Store, key: str, *recipes: str) -> Trial | None:
    """What the trial has left; None if nothing yet.

    Args:
        recipes: digests, one of which it must have.

    Raises:
        BadInput: it is damaged, or of another recipe.
    """
    try:
        data = store.get(key)
    except KeyError:
        return None
    try:
        fields = json.loads(data)
        if fields.pop("recipe") in recipes:
            return TypeAdapter(Trial).validate_python(fields)
    except (ValueError, KeyError, TypeError):  # pydantic's is one of the first
        raise BadInput(f"{store.uri}: {key} is damaged; remove it, and the trial is run again") from None
    raise BadInput(f"{store.uri}: {key} is a result of another recipe; choose another --out, or remove it")


def study_json(study: Study) -> bytes:
    return TypeAdapter(Study).dump_json(study, indent=1, by_alias=True) + b"\n"
