"""The end of an ingested set: duplicates, splits, catalog, report, card. In memory: about 1 kB an image."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr.artifact import Made, Record
from cxr.artifact.keys import CARD_KEY, CATALOG_KEY, METADATA_KEY, PLAN_KEY, SHEET_KEY
from cxr.artifact.metrics import LabelMetrics
from cxr.data.boxes import BOXES_KEY, Box, boxes_table
from cxr.data.catalog import CATALOG, metadata_lines
from cxr.data.duplicates import group_near_duplicates
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
    read_plan,
    refuse_contradictions,
    refuse_lost_findings,
)
from cxr.ingest.job import REJECTED_KEY, IngestJob
from cxr.ingest.split_report import SplitReport, draw_report, render_markdown
from cxr.report.contact_sheet import COLUMNS, ROWS, contact_sheet
from cxr.report.pages import render
from cxr.store import Store, StoredObject, digest_lines, parquet, put_file
from cxr.weights import resolve

REPORT_KEY, PICTURE_KEY = "split_report.md", "split_report.png"
TEXTS_AT_ONCE = ROWS_AT_ONCE = 1 << 12


def complete(job: IngestJob, timings: dict[str, float], note: Callable[[str], None]) -> Record:
    """Splits what was read and writes what belongs beside the pictures; returns the record.

    Raises:
        BadInput: what came through cannot be split as asked, or a finding has no picture left.
    """
    read = collect_images(job)
    warnings = refuse_contradictions(job, read) + refuse_lost_findings(job, read)
    near = group_near_duplicates(read.thumbnails)
    groups = merge_groups(list_values(read.rows["patient_id"]), near)
    split, wrong = split_images(job, read, groups, near)
    warnings += wrong + describe_near_contradictions(read, near) + describe_long_texts(read.rows["text"])
    for line in warnings:
        note(line)
    job.store.delete(read.orphans)
    catalogs = store_catalogs(job, read, split)
    report = build_split_report(read, near, groups, split, warnings, job.config.seed)
    pieces = {
        REJECTED_KEY: encode_rejections(read),
        REPORT_KEY: render_markdown(report).encode(),
        PICTURE_KEY: draw_report(report),
        SHEET_KEY: contact_sheet(
            read_first_images(job.store, read, report), {name: int(rows.sum()) for name, rows in report.shown.items()}
        ),
        CARD_KEY: render_card(job, read, report).encode(),
    }
    if boxes := list_boxes(read):
        pieces[BOXES_KEY] = parquet(boxes_table(boxes))
    objects = [
        job.store.read_back(PLAN_KEY),
        *catalogs,
        *(job.store.put(key, data) for key, data in pieces.items()),
    ]
    return build_record(job, read, split, objects, timings)


def list_boxes(read: CollectedImages) -> list[tuple[str, Box]]:
    """(image_id, box) of the pictures that are kept, in their order."""
    boxes: dict[int, list[Box]] = {}
    for row, box in read.boxes:
        boxes.setdefault(row, []).append(box)
    kept = zip(*(read.kept[name].to_pylist() for name in ("row", "image_id")), strict=True) if boxes else ()
    return [(image_id, box) for row, image_id in kept for box in boxes.get(row, ())]


def split_images(
    job: IngestJob, read: CollectedImages, groups: np.ndarray, near: np.ndarray
) -> tuple[Split, list[str]]:
    """The split as configured, and what a user must know about it."""
    config, findings, patients = job.config, read.rows["present"].to_pylist(), list_values(read.rows["patient_id"])
    fractions = (config.train, config.validation, config.test)
    if config.split == "official":
        official = read.rows["split"].to_pylist()
        split, warnings = keep_official_split(official, findings, patients, near, groups, config.folds, config.seed)
        return split, warnings + describe_copies_across_parts(read)
    warnings = []
    if unknown := read.rows["patient_id"].null_count:
        warnings.append(
            f"{unknown} of {len(patients)} pictures name no patient: they are split by picture, so one patient may be "
            "on both sides; where file names tell patients apart give --patient-pattern, where a table does table:FILE"
        )
    exclusive = job.vocabulary.exclusive
    split = split_by_group(findings, groups.tolist(), fractions, config.folds, config.seed, exclusive)
    return split, warnings + describe_missing_findings(findings, groups.tolist(), split.split)


def describe_copies_across_parts(read: CollectedImages) -> list[str]:
    """A line for each part that has lost pictures because another has them too."""
    parts = read_plan(read.job, ["split"])["split"]
    pairs = ((parts[first].as_py(), parts[again].as_py()) for first, again in read.repeated)
    dropped = Counter(part for kept, part in pairs if part != kept)
    return [
        f"{count:,} pictures are in more than one part; the copy in {part} was dropped"
        for part, count in sorted(dropped.items())
    ]


def describe_long_texts(texts: pa.ChunkedArray) -> list[str]:
    """A line on texts whose ends a text encoder will not see, if there are any."""
    given = texts.filter(pc.greater(pc.utf8_length(texts), 0))
    if not len(given):
        return []
    tiny = resolve("tiny").path
    parts = (given.slice(start, TEXTS_AT_ONCE).to_pylist() for start in range(0, len(given), TEXTS_AT_ONCE))
    count = family_of(tiny).count_too_long(tiny, chain.from_iterable(parts))
    note = (
        f"{count} of {len(given)} texts are longer than the 77 tokens that a text encoder reads (in the embedded "
        "model's vocabulary; Stable Diffusion's needs fewer for most): their ends will not be seen"
    )
    return [note] if count else []


def build_split_report(
    read: CollectedImages, near: np.ndarray, groups: np.ndarray, split: Split, warnings: list[str], seed: int
) -> SplitReport:
    views, sexes = (list_values(read.rows[name]) for name in ("view", "sex"))
    rng = np.random.default_rng(seed)
    return SplitReport(
        vocabulary=read.vocabulary,
        labels=read.labels,
        uncertain=read.uncertain,
        split=split.split,
        groups=groups,
        views=views,
        sexes=sexes,
        ages=read.rows["age"].to_pylist(),
        rejected=len(read.refused),
        repeated=len(read.repeated),
        near_duplicates=int((np.bincount(near) > 1).sum()),
        baselines=measure_baselines(
            read.thumbnails, read.labels, read.vocabulary, views, groups.tolist(), split.split, rng
        ),
        warnings=warnings,
    )


def store_catalogs(job: IngestJob, read: CollectedImages, split: Split) -> list[StoredObject]:
    """The catalog, and beside the pictures what `datasets` reads of it."""
    catalog, metadata = job.folder / CATALOG_KEY, job.folder / "metadata.jsonl"
    write_catalog(catalog, read, split)
    with metadata.open("w", encoding="utf-8") as lines:
        lines.writelines(metadata_lines(pq.ParquetFile(catalog).iter_batches(ROWS_AT_ONCE), {"split": "split"}))
    return [put_file(job.store, CATALOG_KEY, catalog), put_file(job.store, METADATA_KEY, metadata)]


def write_catalog(path: Path, read: CollectedImages, split: Split) -> None:
    columns = {
        **{name: read.kept[name] for name in ("image_id", "key", "sha256")},
        "split": pa.array(split.split, pa.string()),
        "fold": pa.array(split.fold, pa.int32()),
    }
    start = 0
    with pq.ParquetWriter(path, CATALOG, compression="zstd") as file:
        for rows in read.labelled_parts():
            part = {name: column.slice(start, len(rows)) for name, column in columns.items()}
            described = {name: rows[name] for name in CATALOG.names if name not in part}
            file.write_table(pa.table(described | part).select(CATALOG.names).cast(CATALOG))
            start += len(rows)


def read_first_images(store: Store, read: CollectedImages, report: SplitReport) -> dict[str, list[bytes]]:
    """The first pictures of each finding, of the most frequent ones if they are many."""
    shown = report.shown
    names = sorted(sorted(shown, key=lambda name: -int(shown[name].sum()))[:ROWS], key=list(shown).index)
    first = {name: np.flatnonzero(shown[name])[:COLUMNS] for name in names}
    return {name: [store.get(read.kept["key"][row].as_py()) for row in rows.tolist()] for name, rows in first.items()}


def build_record(
    job: IngestJob, read: CollectedImages, split: Split, objects: list[StoredObject], timings: dict[str, float]
) -> Record:
    by_key = read.kept.select(["key", "sha256"]).take(pc.sort_indices(read.kept["key"]))
    digest = digest_lines(f"{key} {sha256}\n" for key, sha256 in iterate_rows(by_key))
    pictures = Made(count=len(read.kept), bytes=pc.sum(read.kept["size"]).as_py(), digest=digest)
    image_ids = (image_id for (image_id,) in iterate_rows(read.kept.select(["image_id"])))
    shown = (read.labels == 1).sum(axis=0).tolist()
    return job.new_record(
        pictures,
        objects,
        inputs={"rows": job.recipe["rows"], "marks": job.marks},
        seeds={"split": job.config.seed},
        timings=timings,
        metrics={
            "splits": manifest_digest(zip(image_ids, split.split, split.fold, strict=True)),
            "findings": {name: count for name, count in zip(read.vocabulary.findings, shown, strict=True) if count},
            **LabelMetrics(vocabulary=list(job.vocabulary.findings), exclusive=job.vocabulary.exclusive).write(),
            "rejected": len(read.refused),
            "repeated": len(read.repeated),
            "contradicting": sum(map(len, read.contradicting)),
        },
    )


def list_values(column: pa.ChunkedArray) -> list[str | None]:
    """As `to_pylist`, with equal values as one object: of 100,000 views, two."""
    coded = column.combine_chunks().dictionary_encode()
    values = np.array([*coded.dictionary.to_pylist(), None], object)
    return values[coded.indices.fill_null(len(values) - 1).to_numpy()].tolist()


def iterate_rows(table: pa.Table) -> Iterator[tuple[str, ...]]:
    """Row by row, few of them Python's at a time."""
    for part in table.to_batches(ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in part.columns), strict=True)


def render_card(job: IngestJob, read: CollectedImages, report: SplitReport) -> str:
    """The dataset card, with the front matter that the Hugging Face hub reads."""
    parts = [np.asarray(report.split) == part for part in PARTS]
    rows = [[name, *(int((chosen & part).sum()) for part in parts)] for name, chosen in report.shown.items()]
    sources = read.rows.group_by(["source", "licence"]).aggregate([]).to_pylist()
    return render(
        "ingested_set.md", config=job.config, pictures=len(read.kept), counts=(["finding", *PARTS], rows),
        findings=len(read.vocabulary.findings), exclusive=read.vocabulary.exclusive, rejected=len(read.refused),
        repeated=len(read.repeated), sources=sorted((one["source"], one["licence"]) for one in sources),
    )  # fmt: skip
