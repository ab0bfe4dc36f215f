"""What an evaluation finds, in named records: `quality.json`, which has some fields under the names of version 0.1."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter

from cxr.artifact.quality import PromptAccuracies as StoredAccuracies
from cxr.data.catalog import CatalogSet
from cxr.data.labels import NO_FINDING
from cxr.data.lineage import PHANTOM_NOTICE, has_phantoms, phantom_notice
from cxr.data.prompt_accuracy import PromptAccuracy, prompt_accuracies
from cxr.evaluate.calibration import Copies
from cxr.evaluate.config import ALL
from cxr.evaluate.diversity import Diversity
from cxr.evaluate.label_classifier import PromptAccuracies
from cxr.evaluate.resample import Interval, RealReference, TrainingGap
from cxr.prompts.lists import UNLABELLED
from cxr.report.words import metric_label

PERFECT = 0.9995  # of an AUROC that the page shows as 1.000
NOT_ASKED = (ALL, NO_FINDING, UNLABELLED)  # groups of pictures that show nothing in particular


@dataclass(frozen=True)
class Metric:
    """A metric's value with its interval, and the same between real pictures."""

    interval: Interval
    reference: Annotated[RealReference, Field(serialization_alias="floor")]
    infinite: float | None  # extrapolated to infinitely many synthetic pictures


@dataclass(frozen=True)
class FullSetDistance:
    """The Fréchet distance between all pictures, from sums over them."""

    frechet_distance: float
    real_count: int
    synthetic_count: int


@dataclass(frozen=True)
class Group:
    """What was measured of one finding, or of all."""

    finding: str
    real_count: int
    real_patients: int
    synthetic_count: int
    too_few: bool  # no more pictures on a side than the features have dimensions: the Fréchet distance is far too high
    metrics: Annotated[dict[str, Metric], Field(serialization_alias="figures")]  # by name
    real_diversity: Diversity | None  # of pairs within a finding
    synthetic_diversity: Diversity | None
    whole: FullSetDistance | None  # where `metrics` are of some pictures only


@dataclass(frozen=True)
class Source:
    """A set as it was measured."""

    digest: str  # of its catalog
    kind: str
    pictures: int
    name: str  # of its folder or prefix, the last word


def source_of(found: CatalogSet) -> Source:
    name = found.store.uri.rstrip("/").rsplit("/", 1)[-1]
    return Source(found.digest, found.record.kind, len(found.table), name)


@dataclass(frozen=True)
class Quality:
    """All of an evaluation; `notes` is what a reader must know besides."""

    extractor: str
    weights_digest: str
    dimension: int
    real: Source
    synthetic: Source
    against: str  # the part of the real set that the synthetic pictures are compared with
    groups: list[Group]
    # the Fréchet distance of all findings to training and to held-out pictures; None without these
    sides: TrainingGap | None
    prompt_accuracy: Annotated[PromptAccuracies | None, Field(serialization_alias="agreement")]
    attribute_accuracy: PromptAccuracies | None  # of view, sex and age
    copies: Copies | None
    copies_reason: str  # why there is nothing on near-duplicates; empty where there is
    notes: list[str]

    def metric_label(self, metric: str) -> str:
        return metric_label(self.extractor, metric)

    def json(self) -> bytes:
        return (
            json.dumps(TypeAdapter(Quality).dump_python(self, by_alias=True), indent=1, ensure_ascii=False) + "\n"
        ).encode()


def label_accuracies(quality: Quality) -> list[PromptAccuracy]:
    """What follows for the labels of each finding; empty where it was not measured."""
    if quality.prompt_accuracy is None:
        return []
    values = TypeAdapter(PromptAccuracies).dump_python(quality.prompt_accuracy, by_alias=True)
    return prompt_accuracies(StoredAccuracies.model_validate(values))


def has_aurocs(quality: Quality) -> bool:
    """Whether it was measured how well pictures show what was asked."""
    measured = [found for found in (quality.prompt_accuracy, quality.attribute_accuracy) if found]
    return any(found.synthetic.aurocs for found in measured)


def origin_notes(real: CatalogSet, synthetic: CatalogSet) -> list[str]:
    """What a reader must know first of where the pictures come from."""
    notice = (
        PHANTOM_NOTICE if has_phantoms(real.sources) else phantom_notice(synthetic.sources, "the synthetic pictures")
    )
    return [notice] if notice else []


def notes_of(
    groups: Sequence[Group],
    near: TrainingGap | None,
    accuracy: PromptAccuracies | None,
    attributes: tuple[Sequence[str], PromptAccuracies | None],
    copies: Copies | None,
    dimension: int,
) -> list[str]:
    """What weakens the metrics, in a line each.

    Args:
        attributes: those that both sets name, and what was measured of them.
    """
    notes = []
    if few := [group.finding for group in groups if group.too_few]:
        notes.append(
            f"no more pictures than the extractor's {dimension} features in {', '.join(few)}: the Fréchet distance "
            "there is far too high, and its interval cannot be trusted"
        )
    if accuracy is None:
        notes.append(
            "prompt accuracy is not measured: train, validation and test of the real set must each show every compared "
            "finding, and share two findings at least; where a picture can show several, each part must have pictures "
            "that show one and pictures that do not"
        )
    notes += explain_perfect(accuracy) if accuracy else []
    findings = [group.finding for group in groups if group.finding not in NOT_ASKED] if accuracy else []
    for names, found in ((findings, accuracy), attributes):
        if unmeasured := [name for name in names if found is None or name not in found.synthetic.findings]:
            notes.append(
                f"whether pictures show {', '.join(unmeasured)} as asked is not measured: train, validation and test "
                "of the real set must each have pictures that show it and pictures that do not"
            )
    if near and near.training_is_nearer:
        notes.append(
            "the synthetic pictures are nearer to the training pictures than to held-out ones, by more than parts of "
            "the real set differ in 99 %: a sign of memorisation, also where no near-duplicate is flagged"
        )
    if copies and not copies.patients_known:
        notes.append(
            "the real set names no patients: pictures of one patient look alike and would lift the threshold of "
            "near-duplicates, so it is extrapolated from the less alike ones; that chance flags 1 % is assumed, not "
            "measured"
        )
    if copies and copies.held_out is None:
        notes.append("the real set has no validation or test part to see how often pictures that are no copies count")
    return notes


def explain_perfect(found: PromptAccuracies) -> list[str]:
    """What it means, and what not, that findings are told without a mistake; nothing where none is."""
    lines, sides = [], {"synthetic": found.synthetic, "real test": found.real}
    for kind, side in sides.items():
        told = {name: one for name, one in side.aurocs.items() if one.value >= PERFECT}
        if told:
            least = min(one.low for one in told.values())
            lines.append(f"{kind} pictures of {', '.join(told)}, where the truth is {least:.3f} at least")
    if not lines:
        return []
    return [
        f"an AUROC of 1.000 of {'; and of '.join(lines)}: the classifier made no mistake on these, which are few or "
        "easy to tell; it is no proof that a reader would see the findings, and pictures that overdraw them score so"
    ]
