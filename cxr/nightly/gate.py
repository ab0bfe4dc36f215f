"""A night's metrics against its limits and against last night's."""

import math

from pydantic import BaseModel, ConfigDict

from cxr.artifact import Record, recipe_digest
from cxr.artifact.metrics import AuditMetrics
from cxr.artifact.quality import read_quality
from cxr.nightly.config import NightlyConfig
from cxr.report.words import FRECHET, metric_label, number
from cxr.store import Store

# Names that fields have in the JSON of nights, as version 0.1 wrote it.
STORED_NAMES = {
    "metrics": "figures",
    "value": "figure",
    "frechet_distance": "frechet",
    "excess_distance": "excess",
    "worst_finding": "worst",
    "worst_accuracy": "worst_agreement",
    "prompt_accuracy": "agreement",
    "copy_rate": "copies",
    "distance_quotient": "distance",
}


class Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: STORED_NAMES.get(name, name),
        validate_by_name=True,
        serialize_by_alias=True,
    )


class GateMetrics(Frozen):
    """What a night is judged by. A metric that could not be measured is None."""

    extractor: str
    measured: str  # digest of how: only what was measured alike is compared
    frechet_distance: float | None
    excess_distance: float | None = None  # Fréchet to real halves, less that between two real halves of the same size
    worst_finding: str = ""  # the finding with the lowest lower bound
    worst_accuracy: float | None = None  # lower 95 % bound of its prompt accuracy
    prompt_accuracy: float | None  # share of synthetic pictures in which the classifier sees the asked finding
    copy_rate: float | None  # share of synthetic pictures that are flagged as near-duplicates of a training picture
    beyond_chance: bool | None  # more of them than unrelated real pictures would give
    distance_quotient: float | None = None  # nights of version 0.1 were judged by it
    audit: str | None = None  # its verdict; None: there is none
    leaks: int | None = None  # tests of the audit that found one


class Check(Frozen):
    """One metric against one limit."""

    name: str
    value: float | None
    limit: float
    at_most: bool  # or at least
    passed: bool

    def __str__(self) -> str:
        found = "was not measured" if self.value is None else f"is {number(self.value)}"
        return f"{self.name} {found}, {'at most' if self.at_most else 'at least'} {number(self.limit)} is allowed"


def read_metrics(evaluation: Store, record: Record, audit: Record | None) -> GateMetrics:
    """The metrics of all findings together, and what the audit found.

    Args:
        record: the evaluation's.
        audit: the audit's; None: there is none.
    """
    quality, attacks = read_quality(evaluation), audit and AuditMetrics.read(audit)
    frechet, copies = quality.groups[0].metrics[FRECHET], quality.copies
    asked = quality.prompt_accuracy and quality.prompt_accuracy.synthetic
    worst = asked.worst() if asked else ""
    how = {name: value for name, value in record.recipe.items() if name not in ("real", "synthetic")}
    return GateMetrics(
        extractor=quality.extractor,
        measured=recipe_digest({**how, "against": quality.against, "pictures": quality.synthetic.pictures}),
        frechet_distance=finite_or_none(frechet.interval.value),
        excess_distance=finite_or_none(frechet.reference.synthetic - frechet.reference.value),
        worst_finding=worst,
        worst_accuracy=asked and finite_or_none(asked.findings[worst].low),
        prompt_accuracy=asked and finite_or_none(asked.agree.share),
        copy_rate=copies and finite_or_none(copies.rate.share),
        beyond_chance=copies and copies.beyond_chance,
        audit=attacks and attacks.verdict,
        leaks=attacks and attacks.leaks,
    )


def finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def check_metrics(found: GateMetrics, config: NightlyConfig, last: GateMetrics | None) -> list[Check]:
    """Every check of a night; the set is fit for readers where all of them passed.

    Args:
        last: last night's, if there was one.
    """
    name, worst = metric_label(found.extractor, FRECHET), found.worst_finding.replace("_", " ")
    beyond = None if found.beyond_chance is None else float(found.beyond_chance)
    checks = [
        at_most(f"{name}, less that of real halves,", found.excess_distance, config.max_excess_distance),
        at_least(
            f"prompt accuracy of the worst finding{worst and f' ({worst})'}, its lower 95 % bound,",
            found.worst_accuracy,
            config.min_prompt_accuracy,
        ),
        at_most("share of near-duplicates", found.copy_rate, config.max_copy_rate),
        at_most("near-duplicates beyond chance", beyond, 0.0),
    ]
    if found.audit is not None:
        checks.append(at_most("number of leaks that the audit found", found.leaks, 0.0))
    if last is None or last.measured != found.measured:
        return checks
    rise = ratio(found.frechet_distance, last.frechet_distance)
    return [
        *checks,
        at_most(f"{name}, times last night's,", rise, config.max_distance_ratio),
        at_least(
            "prompt accuracy, less last night's,",
            difference_from(found.prompt_accuracy, last.prompt_accuracy),
            -config.max_accuracy_drop,
        ),
        at_most(
            "share of near-duplicates, less last night's,",
            difference_from(found.copy_rate, last.copy_rate),
            config.max_copy_rise,
        ),
    ]


def at_most(name: str, value: float | None, limit: float) -> Check:
    return Check(name=name, value=value, limit=limit, at_most=True, passed=value is not None and value <= limit)


def at_least(name: str, value: float | None, limit: float) -> Check:
    return Check(name=name, value=value, limit=limit, at_most=False, passed=value is not None and value >= limit)


def ratio(new: float | None, old: float | None) -> float | None:
    return new / old if new is not None and old else None


def difference_from(new: float | None, old: float | None) -> float | None:
    return new - old if new is not None and old is not None else None
