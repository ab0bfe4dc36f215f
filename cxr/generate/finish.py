"""The end of a generated set: catalog, metadata, card and contact sheet. Rows stream through, however many."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr.artifact import Made
from cxr.artifact.keys import CARD_KEY, CATALOG_KEY, METADATA_KEY, SHEET_KEY
from cxr.artifact.metrics import Filtered
from cxr.data.candidates import TESTS, count_verdicts
from cxr.data.catalog import CATALOG
from cxr.data.lineage import UNKNOWN_SOURCE
from cxr.diffusion.config import SOLVERS
from cxr.generate.config import GenerateConfig
from cxr.generate.filtered import write_filtered_tables
from cxr.generate.plan import Plan, PlanReader
from cxr.generate.writer import catalog_row, committed_images, metadata_line, read_pictures, shard_objects
from cxr.report.contact_sheet import COLUMNS, ROWS, contact_sheet
from cxr.report.limits import UNAUDITED, unaudited
from cxr.report.pages import render
from cxr.store import Store, StoredObject, digest_of, put_file
from cxr.weights import Weights

MeasureDiversity = Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, dict[str, float]]]
"""Of features float32 [M, d] of all pictures made, which of them are accepted, bool [M], and their findings, str [M]:
by metric that of the `accepted` ones, and of as many of `all made`."""


def finish(
    store: Store, config: GenerateConfig, plan: Plan, source: str, licence: str, about: str, learned: str = ""
) -> tuple[Made, list[StoredObject]]:
    """Writes what belongs to the finished set besides its pictures.

    Args:
        about: what the card says of patients.
        learned: and of what was fine-tuned, see `describe_training`.

    Returns:
        What was made, and the objects that the catalog does not list.
    """
    reader = PlanReader(plan.path, config.unit_images)
    with tempfile.TemporaryDirectory() as folder:
        catalog, metadata = Path(folder, "catalog"), Path(folder, "metadata")
        size = write_tables(store, config, plan, reader, catalog, metadata, source, licence)
        objects = [put_file(store, CATALOG_KEY, catalog)]
        if config.layout == "folder":
            objects.append(put_file(store, METADATA_KEY, metadata))
            digest = digest_of(keys_and_digests(catalog))
        else:
            shards = shard_objects(store, plan.units)
            objects += shards
            size, digest = sum(s.size for s in shards), digest_of((s.key, s.sha256) for s in shards)
    first = reader.first_of_each(list(plan.findings)[:ROWS], COLUMNS)
    objects.append(put_sheet(store, config, first, plan.findings))
    objects.append(store.put(CARD_KEY, card(config, plan, source, licence, about, learned).encode()))
    return Made(count=plan.images, bytes=size, digest=digest), objects


def finish_filtered(
    store: Store, config: GenerateConfig, plan: Plan, source: str, licence: str, about: str, learned: str, real: str,
    measure: MeasureDiversity,
) -> tuple[Made, list[StoredObject], Filtered]:  # fmt: skip
    """The same of a set that holds accepted pictures alone; also how they were chosen.

    Args:
        real: digest of the set that pictures were judged by.
        measure: what filtering costs in diversity.
    """
    reader = PlanReader(plan.path, config.unit_images)
    tables = write_filtered_tables(store, config.filter, plan, reader, source, licence, COLUMNS)
    accepted = np.array(tables.candidates["accepted"].to_pylist(), bool)
    findings = np.array(tables.candidates["finding"].to_pylist(), str)
    found = Filtered(
        tests=list(config.filter.tests), real=real, quota=config.filter.quota or 0,
        **count_verdicts(tables.candidates), diversity=measure(tables.features, accepted, findings),
    )  # fmt: skip
    objects = [*tables.objects, put_sheet(store, config, tables.shown, found.accepted)]
    kept = replace(plan, images=int(accepted.sum()), findings=found.accepted)
    objects.append(store.put(CARD_KEY, card(config, kept, source, licence, about, learned, found).encode()))
    rows = tables.candidates.filter(tables.candidates["accepted"])
    pairs = zip(rows["key"].to_pylist(), rows["sha256"].to_pylist(), strict=True)
    return Made(count=len(rows), bytes=tables.bytes, digest=digest_of(pairs)), objects, found


def put_sheet(
    store: Store, config: GenerateConfig, first: Mapping[str, Sequence[dict[str, Any]]], counts: Mapping[str, int]
) -> StoredObject:
    """The contact sheet of the first rows of each finding; no audit of the set is there yet, and it says so."""
    pictures = {finding: read_pictures(store, config.layout, rows) for finding, rows in first.items()}
    lora = f" + {Path(config.lora).name}" if config.lora else ""
    model = f"{Path(config.model).name}{lora}"
    asked = {finding: f"{UNAUDITED}, {describe_prompts(rows, model)}" for finding, rows in first.items()}
    return store.put(SHEET_KEY, contact_sheet(pictures, counts, asked))


def describe_prompts(rows: Sequence[Mapping[str, Any]], model: str) -> str:
    """For the sheet: what made these pictures, and what it was asked for first."""
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))
    return f'{model}: "{prompts[0]}"' + (" and others" if len(prompts) > 1 else "") if prompts else model


def write_tables(
    store: Store, config: GenerateConfig, plan: Plan, reader: PlanReader, catalog: Path, metadata: Path,
    source: str, licence: str,
) -> int:  # fmt: skip
    """Writes catalog and metadata to local files, unit by unit; returns the bytes of the pictures (0 for shards)."""
    size = 0
    with pq.ParquetWriter(catalog, CATALOG, compression="zstd") as table, metadata.open("w", encoding="utf-8") as lines:
        waiting: list[dict[str, Any]] = []
        for unit, images in enumerate(committed_images(store, config.layout, plan.units)):
            for row, image in zip(reader.rows(unit), images, strict=True):
                size += image.size
                waiting.append(catalog_row(row, image, source, licence))
                lines.write(metadata_line(row, image))
            if len(waiting) >= 8192:
                table.write_table(pa.Table.from_pylist(waiting, schema=CATALOG))
                waiting = []
        table.write_table(pa.Table.from_pylist(waiting, schema=CATALOG))
    return size


def keys_and_digests(catalog: Path) -> Iterator[tuple[str, str]]:
    for batch in pq.ParquetFile(catalog).iter_batches(columns=["key", "sha256"]):
        yield from zip(batch["key"].to_pylist(), batch["sha256"].to_pylist(), strict=True)


def describe_training(model: Weights, lora: Weights | None) -> str:
    """Of each part that was fine-tuned, which it is and what it learned from, as far as its record tells."""
    parts = [("LoRA", lora)] if lora else []
    parts += [("Fine-tuned model", model)] if model.trained else []
    return "".join(f"- {noun}: digest `{part.digest[:16]}`; {describe_part(part)}\n" for noun, part in parts)


def describe_part(part: Weights) -> str:
    if part.trained is None and UNKNOWN_SOURCE in part.sources:
        return "no record says what it learned from"
    findings = f" of {', '.join(part.trained.prompts)}" if part.trained else ""
    findings += f", of the set `{part.data[:16]}`" if part.data else ""
    captions = f"; captions: {part.trained.for_record['kind']}" if part.trained else ""
    if few := part.few_steps:
        how = (
            f"distilled to {few.steps} steps with guidance {few.guidance:g} folded in, by captions{findings}{captions}"
        )
        return f"the models behind it learned from: {', '.join(part.sources)}; {how}"
    return f"it and its base learned from: {', '.join(part.sources)}; trained on X-rays{findings}{captions}"


def card(
    config: GenerateConfig, plan: Plan, source: str, licence: str, about: str, learned: str = "",
    filtered: Filtered | None = None,
) -> str:  # fmt: skip
    """The dataset card, with the front matter that the Hugging Face hub reads."""
    lora = config.lora and Path(config.lora).name
    return render(
        "generated_set.md", config=config, plan=plan, source=source, licence=licence, about=about, learned=learned,
        lora=lora, unaudited=unaudited("this set"), filtered=filtered, describe=TESTS,
        solver=SOLVERS[config.sampler.solver],
    )  # fmt: skip
