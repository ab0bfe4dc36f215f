"""A night's figures against its limits and against last night's."""

import json
import math

from pydantic import BaseModel, ConfigDict

from cxr.artifact import Record, recipe_digest
from cxr.artifact.keys import QUALITY_KEY
from cxr.nightly.config import NightlyConfig
from cxr.report.words import FRECHET, metric_label, number
from cxr.store import Store


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateMetrics(Frozen):
    """What a night is judged by. A figure that could not be measured is None."""

    extractor: str
    measured: str  # digest of how: only what was measured alike is compared
    frechet: float | None
    excess: float | None = None  # Fréchet distance to real halves, less that between two real halves of the same size
    worst: str = ""  # the finding that is seen least surely
    worst_agreement: float | None = None  # the lower 95 % bound of the share of its pictures in which it is seen
    agreement: float | None  # share of synthetic pictures in which the asked finding is seen
    copies: float | None  # share of synthetic pictures that are flagged as near-copies of a training picture
    beyond_chance: bool | None  # more of them than unrelated real pictures would give
    distance: float | None = None  # the quotient that nights of version 0.1 were judged by


class Check(Frozen):
    """One figure against one limit."""

    name: str
    figure: float | None
    limit: float
    at_most: bool  # or at least
    passed: bool

    def __str__(self) -> str:
        found = "was not measured" if self.figure is None else f"is {number(self.figure)}"
        return f"{self.name} {found}, {'at most' if self.at_most else 'at least'} {number(self.limit)} is allowed"


def read_metrics(evaluation: Store, record: Record) -> GateMetrics:
    """The figures of all findings together.

    Args:
        record: the evaluation's.
    """
    told = json.loads(evaluation.get(QUALITY_KEY))
    frechet, copies = told["groups"][0]["figures"][FRECHET], told["copies"]
    floor, asked = frechet["floor"], told["agreement"] and told["agreement"]["synthetic"]
    how = {name: value for name, value in record.recipe.items() if name not in ("real", "synthetic")}
    worst = asked and min(asked["findings"], key=lambda name: asked["findings"][name]["low"])
    return GateMetrics(
        extractor=told["extractor"],
        measured=recipe_digest({**how, "against": told["against"], "pictures": told["synthetic"]["pictures"]}),
        frechet=finite_or_none(frechet["interval"]["value"]),
        excess=finite_or_none(floor["synthetic"] - floor["value"]),
        worst=worst or "",
        worst_agreement=asked and finite_or_none(asked["findings"][worst]["low"]),
        agreement=asked and finite_or_none(asked["agree"]["share"]),
        copies=copies and finite_or_none(copies["rate"]["share"]),
        beyond_chance=copies and copies["beyond_chance"],
    )


def finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def check_metrics(found: GateMetrics, config: NightlyConfig, last: GateMetrics | None) -> list[Check]:
    """Every check of a night; the set is fit for readers where all of them passed.

    Args:
        last: last night's, if there was one.
    """
    name, worst = metric_label(found.extractor, FRECHET), found.worst.replace("_", " ")
    beyond = None if found.beyond_chance is None else float(found.beyond_chance)
    checks = [
        at_most(f"{name}, less that of real halves,", found.excess, config.max_excess_distance),
        at_least(
            f"prompt accuracy of the worst finding{worst and f' ({worst})'}, its lower 95 % bound,",
            found.worst_agreement,
            config.min_prompt_accuracy,
        ),
        at_most("share of near-copies", found.copies, config.max_copy_rate),
        at_most("near-copies beyond chance", beyond, 0.0),
    ]
    if last is None or last.measured != found.measured:
        return checks
    rise = ratio(found.frechet, last.frechet)
    return [
        *checks,
        at_most(f"{name}, times last night's,", rise, config.max_distance_ratio),
        at_least(
            "prompt accuracy, less last night's,",
            difference_from(found.agreement, last.agreement),
            -config.max_accuracy_drop,
        ),
        at_most(
            "share of near-copies, less last night's,", difference_from(found.copies, last.copies), config.max_copy_rise
        ),
    ]


def at_most(name: str, figure: float | None, limit: float) -> Check:
    return Check(name=name, figure=figure, limit=limit, at_most=True, passed=figure is not None and figure <= limit)


def at_least(name: str, figure: float | None, limit: float) -> Check:
    return Check(name=name, figure=figure, limit=limit, at_most=False, passed=figure is not None and figure >= limit)


def ratio(new: float | None, old: float | None) -> float | None:
    return new / old if new is not None and old else None


def difference_from(new: float | None, old: float | None) -> float | None:
    return new - old if new is not None and old is not None else None
