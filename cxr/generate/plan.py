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
from cxr.data.catalog import CATALOG
from cxr.data.labels import LISTS, Labels, Vocabulary, shown_findings
from cxr.errors import BadInput
from cxr.generate.config import GenerateConfig
from cxr.prompts.findings import parse_findings
from cxr.prompts.lists import NO_FINDING, UNLABELLED, PromptRow
from cxr.prompts.templates import template_prompts
from cxr.store import sha256
from cxr.tables import batched

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("unit", pa.int32()),
        ("finding", pa.string()),
        ("prompt", pa.string()),
        ("negative_prompt", pa.string()),
        ("seed", pa.int64()),
        *map(CATALOG.field, (*LISTS, "view", "sex", "age")),  # what is asked for; nothing is asked for uncertainly
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
    findings: dict[str, int]  # number of images that each is asked for in; `NO_FINDING` or `UNLABELLED` for none
    vocabulary: Vocabulary


def template_rows(config: GenerateConfig) -> Iterator[PromptRow]:
    """`per_finding` different prompts for each finding of the config."""
    for finding in parse_findings(config.findings):
        yield from rows_of_finding(finding, config)


def rows_of_finding(finding: str, config: GenerateConfig) -> Iterator[PromptRow]:
    for prompt in template_prompts(finding, config.per_finding, config.seed):
        yield PromptRow(prompt, finding, "", 1, None)


def write_plan(
    path: Path,
    rows: Iterable[PromptRow],
    config: GenerateConfig,
    sampler_digest: str,
    vocabulary: Vocabulary | None = None,
) -> Plan:
    """Writes the plan of `rows` to `path`, one line an image.

    Args:
        sampler_digest: of all that shapes a picture besides prompt and seed: weights and sampler settings.
        vocabulary: of the set; None: the findings that the rows name, which exclude each other unless a row names
            several.

    Raises:
        BadInput: two rows ask for the same picture, or there is none.
    """
    draft = path.with_suffix(".draft")
    images, digest, named = write_draft(draft, rows, config, sampler_digest)
    if not images:
        raise BadInput("the prompts ask for no image at all; give at least one prompt with a count of 1 or more")
    reject_duplicate_requests(draft)
    if vocabulary is None:
        vocabulary = vocabulary_of(named)
    else:
        digest = sha256(json.dumps([digest, vocabulary.findings, vocabulary.exclusive]).encode())
    findings = complete_labels(draft, path, vocabulary)
    draft.unlink()
    return Plan(path, images, -(-images // config.unit_images), digest, findings, vocabulary)


def write_draft(
    path: Path, rows: Iterable[PromptRow], config: GenerateConfig, sampler_digest: str
) -> tuple[int, str, set[str]]:
    """Writes the plan as it is before all are read: its `absent` is null where it means all others of the set.

    Returns:
        The images, the digest, and what rows name as their finding.
    """
    unit, images = config.unit_images, 0
    whole = hashlib.sha256()
    named: set[str] = set()
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for group in batched(images_of(rows, config.seed), max(1, GROUP_IMAGES // unit) * unit):
            lines = [
                {
                    "image_id": image_id(sampler_digest, row.prompt, row.negative_prompt, seed),
                    "unit": (images + i) // unit,
                    "finding": row.finding,
                    "prompt": row.prompt,
                    "negative_prompt": row.negative_prompt,
                    "seed": seed,
                    "absent": row.absent,
                    "view": row.view,
                    "sex": row.sex,
                    "age": row.age,
                }
                for i, (row, seed) in enumerate(group)
            ]
            writer.write_table(pa.Table.from_pylist(lines, schema=SCHEMA))
            images += len(group)
            for line, (row, _) in zip(lines, group, strict=True):
                asked = [row.absent, row.view, row.sex, row.age]
                further = [json.dumps(asked)] if asked != [None] * 4 else []  # none in version 0.1
                whole.update("\t".join([line["image_id"], row.finding, *further]).encode() + b"\n")
                named.add(row.finding)
                named.update(row.absent or ())
    return images, whole.hexdigest(), named


def vocabulary_of(named: Iterable[str]) -> Vocabulary:
    """Of the findings that rows name, some of them joined."""
    several = any("+" in name for name in named)
    findings = {part for name in named for part in name.split("+")} - {UNLABELLED, *([NO_FINDING] if several else [])}
    return Vocabulary(tuple(sorted(findings)), exclusive=not several)


def complete_labels(draft: Path, path: Path, vocabulary: Vocabulary) -> dict[str, int]:
    """Writes the plan with all its lists of labels, and folders for findings; returns how often each is asked for."""
    counts: Counter[str] = Counter()
    known: dict[tuple[str, tuple[str, ...] | None], dict[str, Any]] = {}
    source = pq.ParquetFile(draft)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for number in range(source.num_row_groups):
            table = source.read_row_group(number)
            cells = []
            for finding, absent in zip(table["finding"].to_pylist(), table["absent"].to_pylist(), strict=True):
                key = finding, None if absent is None else tuple(absent)
                if key not in known:
                    labels = labels_of(*key, vocabulary)
                    folder = {"finding": labels.folder(vocabulary.findings)}
                    known[key] = folder | labels.as_columns(vocabulary.findings)
                cells.append(known[key])
                counts.update(shown_findings(cells[-1]))
            for name in ("finding", *LISTS):
                field = SCHEMA.field(name)
                column = pa.array([cell[name] for cell in cells], field.type)
                table = table.set_column(SCHEMA.get_field_index(name), field, column)
            writer.write_table(table)
    return dict(counts)


def labels_of(finding: str, absent: tuple[str, ...] | None, vocabulary: Vocabulary) -> Labels:
    """What a `PromptRow` asks for, in a set of this vocabulary."""
    if finding == UNLABELLED:
        return Labels((), absent or ())
    none = finding == NO_FINDING and not vocabulary.exclusive
    return Labels(() if none else tuple(finding.split("+")), absent)


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
                for name in row["present"] or [row["finding"]]:
                    if len(found.get(name, range(count))) < count:
                        found[name].append(row)
            if all(len(rows) >= count for rows in found.values()):
                break
        return found
