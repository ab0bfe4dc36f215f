"""The plan: the table of images to make, written once before anything is sampled and the same on every restart.

Rows stream through: a million prompts need no more memory than a thousand.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr.artifact import plan_marks
from cxr.errors import BadInput
from cxr.generate.config import GenerateConfig
from cxr.prompts.findings import parse_findings
from cxr.prompts.lists import PromptRow
from cxr.prompts.templates import template_prompts
from cxr.tables import batched

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("unit", pa.int32()),
        ("finding", pa.string()),
        ("prompt", pa.string()),
        ("negative_prompt", pa.string()),
        ("seed", pa.int64()),
    ]
)
GROUP_IMAGES = 8192  # rows of a Parquet row group, about: a whole number of units


@dataclass(frozen=True)
class Plan:
    """A plan on local disk."""

    path: Path
    images: int
    units: int
    digest: str  # over all rows, in order
    findings: dict[str, int]  # finding -> number of images


def template_rows(config: GenerateConfig) -> Iterator[PromptRow]:
    """`per_finding` different prompts for each finding of the config."""
    for finding in parse_findings(config.findings):
        for prompt in template_prompts(finding, config.per_finding, config.seed):
            yield PromptRow(prompt, finding, "", 1, None)


def write_plan(path: Path, rows: Iterable[PromptRow], config: GenerateConfig, sampler_digest: str) -> Plan:
    """Writes the plan of `rows` to `path`, one line an image.

    Args:
        look: digest of all that shapes a picture besides prompt and seed: weights and sampler settings.

    Raises:
        BadInput: two rows ask for the same picture, or there is none.
    """
    unit = config.unit_images
    whole = hashlib.sha256()
    findings: Counter[str] = Counter()
    images = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for group in batched(images_of(rows, config.seed), max(1, GROUP_IMAGES // unit) * unit):
            table = pa.Table.from_pylist(
                [
                    {
                        "image_id": image_id(sampler_digest, row.prompt, row.negative_prompt, seed),
                        "unit": (images + i) // unit,
                        "finding": row.finding,
                        "prompt": row.prompt,
                        "negative_prompt": row.negative_prompt,
                        "seed": seed,
                    }
                    for i, (row, seed) in enumerate(group)
                ],
                schema=SCHEMA,
            )
            writer.write_table(table)
            images += len(group)
            findings.update(row.finding for row, _ in group)
            for line in zip(*(table[name].to_pylist() for name in ("image_id", "finding")), strict=True):
                whole.update("\t".join(line).encode() + b"\n")
    if not images:
        raise BadInput("the prompts ask for no image at all; give at least one prompt with a count of 1 or more")
    reject_duplicate_requests(path)
    return Plan(path, images, -(-images // unit), whole.hexdigest(), dict(findings))


def images_of(rows: Iterable[PromptRow], seed: int) -> Iterator[tuple[PromptRow, int]]:
    """Each row as often as its count says, each time with a seed of its own.

    A row's own seed counts up; without one the seed follows from the job's seed, the texts and how often they came
    before, so that it depends neither on the other rows nor on their order.
    """
    counts: Counter[bytes] = Counter()
    for row in rows:
        text = hashlib.sha256(json.dumps([seed, row.prompt, row.negative_prompt]).encode()).digest()[:12]
        for i in range(row.count):
            if row.seed is not None:
                yield row, row.seed + i
            else:
                yield row, seed_of_text(text, counts[text])
                counts[text] += 1


def seed_of_text(text: bytes, occurrence: int) -> int:
    """A seed in [0, 2**63) from the digest of the texts and the number of times they came before."""
    return int.from_bytes(hashlib.sha256(text + occurrence.to_bytes(8, "big")).digest()[:8], "big") >> 1


def image_id(sampler_digest: str, prompt: str, negative_prompt: str, seed: int) -> str:
    """32 hex digits that name the picture: any change of model, settings, texts or seed is another picture."""
    return hashlib.sha256(json.dumps([sampler_digest, prompt, negative_prompt, seed]).encode()).hexdigest()[:32]


def reject_duplicate_requests(path: Path) -> None:
    """Two rows with the same texts and seed would be one picture under one name."""
    ids = pq.read_table(path, columns=["image_id"])["image_id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids)
    twin = next(c["values"] for c in counts.to_pylist() if c["counts"] > 1)
    rows = pq.read_table(path, filters=[("image_id", "=", twin)])
    raise BadInput(
        f"the prompts ask {len(rows)} times for one picture: seed {rows['seed'][0]} with prompt "
        f"{rows['prompt'][0].as_py()[:80]!r}; drop the repetition or give it another seed"
    )


def with_metadata(plan: Plan, recipe: dict[str, Any]) -> bytes:
    """The plan's file as it is stored: with the recipe in its schema metadata, by which a restart knows its own."""
    schema = SCHEMA.with_metadata(plan_marks(recipe))
    sink = pa.BufferOutputStream()
    source = pq.ParquetFile(plan.path)
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in range(source.num_row_groups):
            writer.write_table(source.read_row_group(group).replace_schema_metadata(schema.metadata))
    return sink.getvalue().to_pybytes()


class PlanReader:
    """Reads one unit's rows at a time, keeping only the last row group in memory."""

    def __init__(self, path: Path, unit_images: int) -> None:
        self.file = pq.ParquetFile(path)
        self.unit_images = unit_images
        rows = self.file.metadata.row_group(0).num_rows
        self.units_in_group = -(-rows // unit_images)  # a single group may end with a short unit
        self.group = -1

    def rows(self, unit: int) -> list[dict[str, Any]]:
        """The plan rows of a unit, in order."""
        group, place = divmod(unit, self.units_in_group)
        if group != self.group:
            self.table, self.group = self.file.read_row_group(group), group
        return self.table.slice(place * self.unit_images, self.unit_images).to_pylist()

    def first_of_each(self, findings: Iterable[str], count: int) -> dict[str, list[dict[str, Any]]]:
        """Up to `count` rows of each finding, the first in the plan."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in findings}
        for batch in self.file.iter_batches():
            for row in batch.to_pylist():
                if len(found.get(row["finding"], range(count))) < count:
                    found[row["finding"]].append(row)
            if all(len(rows) >= count for rows in found.values()):
                break
        return found
