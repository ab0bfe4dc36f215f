"""What to ask for so that a set is like another one: findings, view, sex and age of its training pictures, as they came
together. Neither a patient's id nor a text leaves it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.data.catalog import CatalogSet
from cxr.data.labels import LISTS, content_of
from cxr.errors import BadInput
from cxr.generate.config import Balance
from cxr.prompts.lists import NO_FINDING, UNLABELLED, PromptRow
from cxr.prompts.phrases import AGE_GROUPS
from cxr.prompts.words import Content

ROW_STREAM, AGE_STREAM = 5, 6  # last numbers of a seed
AGE_STEP, OLDEST = 5, 90  # years: of a group; what stands for all that are older, as in HIPAA's Safe Harbor
BATCH = 4096  # rows


@dataclass(frozen=True)
class LikeSet:
    """Ask for `images` pictures like the training part of a set."""

    data: CatalogSet
    images: int | None = None  # None: as many as it has
    balance: Balance | None = None  # whose values come alike often

    @cached_property
    def training(self) -> pa.Table:
        """Its training part; `BadInput` if it has none."""
        rows = self.data.table.filter(pc.equal(self.data.table["split"], "train"))
        if not len(rows):
            raise BadInput(f"--like {self.data.store.uri}: has no training part; give a set that jobs/ingest.py made")
        return rows


def like_rows(like: LikeSet, seed: int, write: Callable[[Content], str]) -> Iterator[PromptRow]:
    """Whole rows of the training part, drawn with replacement: what came together stays together, alike often.

    A finding that a row calls uncertain is not asked for, so nothing is known of it. Ages are drawn anew, evenly within
    their `AGE_STEP` years; those from `OLDEST` on are `OLDEST`.

    Args:
        write: what a picture of this content is asked for with.

    Raises:
        BadInput: the set has no training part, or knows nothing of what is to be balanced.
    """
    training, vocabulary = like.training, like.data.vocabulary
    count = like.images or len(training)
    edges = np.cumsum(draw_weights(training, like.balance))
    drawn = np.searchsorted(edges, np.random.default_rng([seed, ROW_STREAM]).random(count) * edges[-1], side="right")
    years = np.random.default_rng([seed, AGE_STREAM]).integers(AGE_STEP, size=count)
    columns = training.select([*LISTS, "view", "sex", "age"]).combine_chunks()
    for start in range(0, count, BATCH):
        part = columns.take(pa.array(drawn[start : start + BATCH].clip(max=len(training) - 1)))
        for row, year in zip(part.to_pylist(), years[start : start + BATCH].tolist(), strict=True):
            age = None if row["age"] is None else min(row["age"] // AGE_STEP * AGE_STEP + year, OLDEST)
            content = content_of(row | {"uncertain": [], "age": age}, vocabulary.findings)
            yield PromptRow(
                prompt=write(content),
                finding="+".join(content.present) or (NO_FINDING if content.absent is None else UNLABELLED),
                negative_prompt="",
                count=1,
                seed=None,
                absent=None if vocabulary.exclusive else tuple(row["absent"]),
                view=content.view,
                sex=content.sex,
                age=content.age,
            )


def draw_weights(training: pa.Table, balance: Balance | None) -> np.ndarray:
    """How often each row is drawn, float64 [N], up to a factor: alike; or so that each value of `balance` comes alike
    often. A row of several findings is drawn as often as they all ask for it; one whose value is unknown as ever.

    Raises:
        BadInput: the value is unknown of all rows.
    """
    if balance is None:
        return np.ones(len(training))
    values = [balanced_values(row, balance) for row in rows_of(training, "present", "finding", "view", "sex", "age")]
    counts = Counter(value for row in values for value in row)
    if not counts:
        raise BadInput(f"--balance {balance}: the training part of --like says of no picture what it is; leave it out")
    share = sum(map(bool, values)) / len(counts)  # of each value, in rows
    return np.array([sum(share / counts[value] for value in row) if row else 1.0 for row in values])


def rows_of(table: pa.Table, *columns: str) -> Iterator[dict[str, Any]]:
    """A few in memory at a time."""
    for batch in table.select(list(columns)).to_batches(max_chunksize=BATCH):
        yield from batch.to_pylist()


def balanced_values(row: dict[str, Any], balance: Balance) -> list[str]:
    """What a row has of it: all its findings, or its view, sex or age group; nothing where that is unknown."""
    if balance == "findings":
        return row["present"] or [name for name in [row["finding"]] if name != UNLABELLED]
    if row[balance] is None:
        return []
    if balance == "age":
        return [next(name for bound, name in AGE_GROUPS if row["age"] < bound)]
    return [row[balance]]


def describe_like(like: LikeSet) -> str:
    """What is asked for, and of whom it tells."""
    training = like.training
    patients: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for row in rows_of(training, "present", "view", "sex", "age", "patient_id", "image_id"):
        group = None if row["age"] is None else min(row["age"], OLDEST) // AGE_STEP
        patients[tuple(row["present"]), row["view"], row["sex"], group].add(row["patient_id"] or row["image_id"])
    single = sum(len(who) == 1 for who in patients.values())
    return (
        f"--like: {like.images or len(training):,} pictures after {len(training):,} of the training part of "
        f"{like.data.store.uri}{f', {like.balance} balanced' if like.balance else ''}; {single:,} of its "
        f"{len(patients):,} combinations of findings, view, sex and age group are one patient's alone, and who has the "
        "new set can read them from it (docs/guides/generate.md)"
    )
