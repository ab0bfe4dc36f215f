"""A record in words: what was made, from what, and what was found."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cxr.artifact.kinds import (
    AUDIT,
    COMPARISON,
    EVALUATION,
    FINE_TUNED_MODEL,
    GENERATED_IMAGES,
    IMAGES_WITHOUT_COPIES,
    INGESTED_IMAGES,
    NIGHT,
    PUBLISHED_IMAGES,
    READER_SCORE,
    READER_STUDY,
    STUDY,
)
from cxr.artifact.metrics import (
    LEAK,
    AuditMetrics,
    EvaluationMetrics,
    ModelMetrics,
    NightMetrics,
    SourceMetrics,
    StudyMetrics,
)
from cxr.artifact.public_text import without_place
from cxr.browse.given import Given
from cxr.browse.privacy import count_patients
from cxr.cost import parse_price
from cxr.data.catalog import CatalogSet
from cxr.data.labels import shown_findings
from cxr.data.lineage import describe_patients, phantom_notice, read_lineage
from cxr.data.splits import PARTS
from cxr.report.forecast import count_words
from cxr.report.limits import kind as kind_in_words
from cxr.report.pages import Table
from cxr.report.words import duration, number

PATH_LEFT_OUT = "(a local path, left out)"


@dataclass(frozen=True)
class Described:
    """An artifact in words."""

    title: str  # what it is
    lines: list[str]  # what was made and found; the first says most
    settings: Table  # its recipe, a field a row
    alarm: bool = False  # an audit has found a leak, or a night has failed its gate


def describe_artifact(one: Given) -> Described:
    tell = TELL.get(one.kind, tell_set if one.images else tell_made)
    lines = [*tell(one), *tell_work(one)]
    return Described(kind_in_words(one.kind), [clean(line) for line in lines], settings_of(one), is_alarm(one))


def is_alarm(one: Given) -> bool:
    if one.kind == AUDIT:
        return AuditMetrics.read(one.record).verdict == LEAK
    return one.kind == NIGHT and not NightMetrics.read(one.record).passed


def tell_made(one: Given) -> list[str]:
    return [f"{one.record.made.count:,} objects, {size_in_words(one.record.made.bytes)}."]


def tell_set(one: Given) -> list[str]:
    """Of any set of images."""
    if one.images is None:
        return tell_made(one)
    table = one.images.table
    shown = Counter(name for row in table.select(["present", "finding"]).to_pylist() for name in shown_findings(row))
    findings = count_words({name.replace("_", " "): count for name, count in shown.items()}, 12)
    return [f"{len(table):,} pictures, {size_in_words(one.record.made.bytes)}. Findings: {findings or 'none'}."]


def tell_ingested(one: Given) -> list[str]:
    lines = tell_set(one)
    if one.images:
        lines.append(tell_parts(one.images))
        lines += [notice] if (notice := phantom_notice(one.images.sources)) else []
    metrics = one.record.metrics
    dropped = [
        f"{metrics[name]:,} {words}"
        for name, words in (("rejected", "could not be read"), ("repeated", "came twice"))
        if metrics.get(name)
    ]
    return lines + ([f"Left out on the way in: {' and '.join(dropped)}."] if dropped else [])


def tell_parts(images: CatalogSet) -> str:
    """How a real set is split."""
    split = images.table["split"].to_pylist()
    parts = ", ".join(f"{split.count(name):,} {name}" for name in PARTS if name in split)
    patients = count_patients(images)
    whose = f"Of {patients:,} patients" if patients else "No patient is named"
    return f"{whose}; split into {parts}." if parts else f"{whose}; not split."


def tell_generated(one: Given) -> list[str]:
    recipe, sampler = one.record.recipe, one.record.recipe.get("sampler") or {}
    how = [f"{sampler[name]} {words}" for name, words in (("steps", "steps"), ("size", "px")) if sampler.get(name)]
    how += [f"guidance {sampler['guidance']:g}"] if sampler.get("guidance") is not None else []
    how += [f"seed {recipe['seed']}"] if "seed" in recipe else []
    model = f"a diffusion model{' with a LoRA' if recipe.get('lora') else ''}"
    return [*tell_set(one), f"Made by {': '.join([model, *([', '.join(how)] if how else [])])}.", about_patients(one)]


def about_patients(one: Given) -> str:
    """What is known of patients behind synthetic pictures; names none."""
    sources = SourceMetrics.read(one.record).sources or ()
    about = describe_patients([clean(source) for source in sources], read_lineage(one.record.metrics))
    return f"About these pictures: {about[:1].lower()}{about[1:].replace('`', '')}"


def tell_without_copies(one: Given) -> list[str]:
    taken = one.record.metrics.get("quarantined", 0)
    return [
        *tell_set(one),
        f"{taken:,} flagged near-duplicates of training pictures were taken out.",
        about_patients(one),
    ]


def tell_published(one: Given) -> list[str]:
    made, form, audit = one.record.made, one.record.recipe.get("as"), one.record.metrics.get("audit")
    lines = tell_set(one)
    if one.images is None:
        lines = [f"{made.count:,} pictures as {form}, {size_in_words(made.bytes)}: browse the set that was published."]
    return [*lines, f"Audit: {audit['verdict'] if isinstance(audit, dict) else 'none, published unaudited'}."]


def tell_model(one: Given) -> list[str]:
    recipe, metrics = one.record.recipe, one.record.metrics
    what = f"A LoRA of rank {recipe.get('rank')}" if recipe.get("method") == "lora" else "A whole model"
    lines = [f"{what}, trained for {metrics.get('step', 0):,} steps; {size_in_words(one.record.made.bytes)}."]
    scores, base = metrics.get("validation") or {}, metrics.get("base") or {}
    told = [
        f"{name.upper()} {number(scores[name])} (base model {number(base[name])})"
        for name in base
        if isinstance(scores.get(name), float) and isinstance(base[name], float)
    ]
    lines += [f"On validation pictures: {', '.join(told)}."] if told else []
    promise = ModelMetrics.read(one.record).privacy
    lines.append(
        f"Differential privacy by patient: epsilon {promise.epsilon:.3g}, delta {promise.delta:.2g}."
        if promise
        else "No differential privacy was promised to its training patients."
    )
    sources = SourceMetrics.read(one.record).sources or ()
    return lines + ([notice] if (notice := phantom_notice([clean(source) for source in sources])) else [])


def tell_audit(one: Given) -> list[str]:
    found = AuditMetrics.read(one.record)
    return [f"Verdict: {found.verdict}.", *found.summary, "No audit says that pictures are safe to share."]


def tell_study(one: Given) -> list[str]:
    found = StudyMetrics.read(one.record)
    phantoms = ["Its test pictures are phantoms: no number here says anything about patients."] if found.phantom else []
    return [found.answer, *phantoms, *found.details]


def tell_answers(one: Given) -> list[str]:
    """Of a comparison of studies, and of readers' scores."""
    answers = one.record.metrics.get("answers")
    return [str(line) for line in answers] if answers else tell_made(one)


def tell_readers(one: Given) -> list[str]:
    recipe = one.record.recipe
    return [
        f"{recipe.get('cases')} cases for {recipe.get('readers')} readers, half of them synthetic.",
        f"The real ones: {one.record.metrics.get('real_parts', 'unknown')}.",
        "Its pages show X-rays of patients and its key says which are real: both stay with their owner.",
    ]


def tell_work(one: Given) -> list[str]:
    total, device = one.record.timings.get("total"), one.record.device
    if not total:
        return []
    price = one.record.hour_price
    cost = f", which cost {parse_price(price).cost(total)}" if price else ""
    return [f"It took {duration(total)}{f' on {device}' if device else ''}{cost}."]


TELL: dict[str, Callable[[Given], list[str]]] = {
    INGESTED_IMAGES: tell_ingested,
    GENERATED_IMAGES: tell_generated,
    IMAGES_WITHOUT_COPIES: tell_without_copies,
    PUBLISHED_IMAGES: tell_published,
    FINE_TUNED_MODEL: tell_model,
    EVALUATION: lambda one: EvaluationMetrics.read(one.record).summary or tell_made(one),
    AUDIT: tell_audit,
    STUDY: tell_study,
    COMPARISON: tell_answers,
    READER_STUDY: tell_readers,
    READER_SCORE: tell_answers,
    NIGHT: lambda one: [f"{NightMetrics.read(one.record).verdict}."],
}


def settings_of(one: Given) -> Table:
    """The recipe, without what looks like a path."""
    rows = [[name, clean(value)] for name, value in flatten(one.record.recipe)]
    return ["field", "value"], [*rows, ["digest", one.record.recipe_digest]]


def flatten(recipe: dict[str, Any], path: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in recipe.items():
        if isinstance(value, dict) and value:
            found += flatten(value, f"{path}{name}.")
        else:
            found.append((f"{path}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return found


def clean(text: str) -> str:
    """The text; it is left out whole where it names a place of a machine or a bucket."""
    return without_place(text, PATH_LEFT_OUT) if text else text


def size_in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
