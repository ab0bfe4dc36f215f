"""The end of an ingested set: duplicates, splits, catalog, report, card. In memory: about 5 kB an image."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from cxr.artifact import Made, Record
from cxr.artifact.keys import CARD_KEY, CATALOG_KEY, PLAN_KEY, SHEET_KEY
from cxr.artifact.metrics import LabelMetrics
from cxr.data.catalog import CATALOG
from cxr.data.duplicates import group_near_duplicates
from cxr.data.images import THUMBNAIL
from cxr.data.labels import LISTS
from cxr.data.splits import (
    PARTS,
    Split,
    describe_missing_findings,
    keep_official_split,
    manifest_digest,
    merge_groups,
    split_by_group,
)
from cxr.diffusion.family import family_of
from cxr.ingest.baselines import measure_baselines
from cxr.ingest.collected import (
    CollectedImages,
    collect_images,
    describe_near_contradictions,
    encode_rejections,
    refuse_contradictions,
    refuse_lost_findings,
)
from cxr.ingest.job import REJECTED_KEY, IngestJob
from cxr.ingest.split_report import SplitReport, draw_report, render_markdown
from cxr.ingest.units import decode_thumbnails
from cxr.report.contact_sheet import COLUMNS, ROWS, contact_sheet
from cxr.report.pages import render
from cxr.store import Store, StoredObject, parquet
from cxr.weights import resolve

REPORT_KEY, PICTURE_KEY = "split_report.md", "split_report.png"
DESCRIBED = (*LISTS, "finding", "text", "patient_id", "view", "sex", "age", "source", "licence")


def complete(job: IngestJob, timings: dict[str, float], note: Callable[[str], None]) -> Record:
    """Splits what was read and writes what belongs beside the pictures; returns the record.

    Raises:
        BadInput: what came through cannot be split as asked, or a finding has no picture left.
    """
    read = collect_images(job)
    contradictions = refuse_contradictions(job, read)
    refuse_lost_findings(job, read)
    thumbnails = decode_thumbnails(read.kept, THUMBNAIL)
    near = group_near_duplicates(thumbnails)
    groups = merge_groups(read.column("patient_id"), near)
    split, warnings = split_images(job, read, groups, near)
    warnings = contradictions + warnings + describe_near_contradictions(read, near) + describe_long_texts(read)
    for line in warnings:
        note(line)
    report = build_split_report(read, thumbnails, near, groups, split, warnings, job.config.seed)
    job.store.delete(read.orphans)
    catalog = build_catalog(read, split)
    pieces = {
        CATALOG_KEY: parquet(catalog),
        REJECTED_KEY: encode_rejections(read),
        REPORT_KEY: render_markdown(report).encode(),
        PICTURE_KEY: draw_report(report),
        SHEET_KEY: contact_sheet(read_first_images(job.store, catalog)),
        CARD_KEY: render_card(job, read, split).encode(),
    }
    objects = [job.store.read_back(PLAN_KEY), *(job.store.put(key, data) for key, data in pieces.items())]
    return build_record(job, read, split, objects, timings)


def split_images(
    job: IngestJob, read: CollectedImages, groups: np.ndarray, near: np.ndarray
) -> tuple[Split, list[str]]:
    """The split as configured, and what a user must know about it."""
    config, findings, patients = job.config, read.column("present"), read.column("patient_id")
    fractions = (config.train, config.validation, config.test)
    if config.split == "official":
        split, warnings = keep_official_split(
            read.column("split"), findings, patients, near, groups, config.folds, config.seed
        )
        return split, warnings + describe_copies_across_parts(read)
    warnings = []
    if unknown := sum(patient is None for patient in patients):
        warnings.append(
            f"{unknown} of {len(patients)} pictures name no patient: they are split by picture, so one patient may be "
            "on both sides"
        )
    exclusive = job.vocabulary.exclusive
    split = split_by_group(findings, groups.tolist(), fractions, config.folds, config.seed, exclusive)
    return split, warnings + describe_missing_findings(findings, groups.tolist(), split.split)


def describe_copies_across_parts(read: CollectedImages) -> list[str]:
    """A line for each part that has lost pictures because another has them too."""
    dropped = Counter(again["split"] for first, again in read.repeated if again["split"] != first["split"])
    return [
        f"{count:,} pictures are in more than one part; the copy in {part} was dropped"
        for part, count in sorted(dropped.items())
    ]


def describe_long_texts(read: CollectedImages) -> list[str]:
    """A line on texts whose ends a text encoder will not see, if there are any."""
    texts = [text for text in read.column("text") if text]
    tiny = resolve("tiny").path
    count = family_of(tiny).count_too_long(tiny, texts) if texts else 0
    note = (
        f"{count} of {len(texts)} texts are longer than the 77 tokens that a text encoder reads (in the embedded "
        "model's vocabulary; Stable Diffusion's needs fewer for most): their ends will not be seen"
    )
    return [note] if count else []


def build_split_report(
    read: CollectedImages,
    thumbnails: np.ndarray,
    near: np.ndarray,
    groups: np.ndarray,
    split: Split,
    warnings: list[str],
    seed: int,
) -> SplitReport:
    findings, views = read.column("finding"), read.column("view")
    rng = np.random.default_rng(seed)
    return SplitReport(
        findings=findings,
        split=split.split,
        groups=groups.tolist(),
        views=views,
        sexes=read.column("sex"),
        ages=read.column("age"),
        rejected=len(read.refused),
        repeated=len(read.repeated),
        near_duplicates=int((np.bincount(near) > 1).sum()),
        baselines=measure_baselines(thumbnails, findings, views, groups.tolist(), split.split, rng),
        warnings=warnings,
    )


def build_catalog(read: CollectedImages, split: Split) -> pa.Table:
    rows = [
        {
            **{name: row[name] for name in DESCRIBED},
            **{"image_id": kept.image_id, "key": kept.key, "sha256": kept.sha256, "split": part, "fold": fold},
        }
        for row, kept, part, fold in zip(read.rows, read.kept, split.split, split.fold, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=CATALOG)


def read_first_images(store: Store, catalog: pa.Table) -> dict[str, list[bytes]]:
    keys: dict[str, list[str]] = {}
    for finding, key in zip(*(catalog[name].to_pylist() for name in ("finding", "key")), strict=True):
        keys.setdefault(finding, []).append(key)
    return {finding: [store.get(key) for key in keys[finding][:COLUMNS]] for finding in sorted(keys)[:ROWS]}


def build_record(
    job: IngestJob, read: CollectedImages, split: Split, objects: list[StoredObject], timings: dict[str, float]
) -> Record:
    ids = [kept.image_id for kept in read.kept]
    return job.new_record(
        Made.of(read.kept),
        objects,
        inputs={"rows": job.recipe["rows"], "marks": job.marks},
        seeds={"split": job.config.seed},
        timings=timings,
        metrics={
            "splits": manifest_digest(ids, split.split, split.fold),
            "findings": dict(Counter(name for row in read.column("present") for name in row)),
            **LabelMetrics(vocabulary=list(job.vocabulary.findings), exclusive=job.vocabulary.exclusive).write(),
            "rejected": len(read.refused),
            "repeated": len(read.repeated),
            "contradicting": sum(map(len, read.contradicting)),
        },
    )


def render_card(job: IngestJob, read: CollectedImages, split: Split) -> str:
    """The dataset card, with the front matter that the Hugging Face hub reads."""
    parts = Counter(zip(read.column("finding"), split.split, strict=True))
    rows = [[name, *(parts[name, part] for part in PARTS)] for name in sorted(set(read.column("finding")))]
    sources = sorted(set(zip(read.column("source"), read.column("licence"), strict=True)))
    return render(
        "ingested_set.md", config=job.config, pictures=len(read.kept), counts=(["finding", *PARTS], rows),
        rejected=len(read.refused), repeated=len(read.repeated), sources=sources,
    )  # fmt: skip
