"""Generated pictures that are judged before they enter a set: what is asked of them, and what was found.

A set that was made so lists in its catalog the accepted pictures alone, so that whoever reads it has no others. All
that were made, with their verdicts, stand in `CANDIDATES_KEY` beside it; files of refused ones lie below `REFUSED`.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cxr.artifact.keys import CANDIDATES_KEY
from cxr.artifact.metrics import Filtered
from cxr.data.catalog import CATALOG, CatalogSet
from cxr.errors import BadInput, nearest
from cxr.store import Store, read_parquet

VERDICTS = "verdicts/"  # of a set in the making: an object a unit
TESTS = {
    "label": "a classifier of real pictures sees what was asked for",
    "realism": "as near to a real picture as real pictures are to those of other patients",
    "copies": "no near-duplicate of a whole training picture",
    "parts": "no copy of a part of a training picture, by key points",
}
MOST = 100_000  # pictures of a finding that are made at most

# What a judge says of a picture: one is accepted that no test refuses. Measurements are null where nobody asked.
MEASURED = [
    ("probability", pa.float32()),
    ("distance", pa.float32()),
    ("likeness", pa.float32()),
    ("parts", pa.float32()),
]
VERDICT = pa.schema(
    [
        ("image_id", pa.string()),
        ("accepted", pa.bool_()),
        ("reason", pa.string()),  # the first test that refuses it; null: none does
        *MEASURED,
        ("features", pa.list_(pa.float32())),
    ]
)
CANDIDATES = pa.schema([*CATALOG, ("accepted", pa.bool_()), ("reason", pa.string()), *MEASURED])


class FilterConfig(BaseModel):
    """Which pictures are accepted, and how many are made until enough are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accept: str = ""
    """Tests that a picture must pass, as label,realism,copies,parts; what fails is made anew until a quota is full."""
    quota: int | None = Field(None, ge=1, le=MOST)
    """Accepted pictures of each finding."""
    tries: float = Field(4, ge=1, le=100)
    """Pictures of each finding that are made at most, in times the quota."""
    min_probability: float = Field(0.5, ge=0, lt=1)
    """Of the test label, where findings exclude each other: the asked one is the most probable, and at least so."""
    max_percentile: float = Field(95, gt=0, le=100)
    """Of the test realism: the percentile of real pictures' distances that a picture's may not be above."""
    extractor: str = "tiny"
    """Whose features measure realism and diversity: tiny, inception, rad-dino, or as cxr evaluate takes it."""

    @field_validator("accept")
    @classmethod
    def _names_tests(cls, words: str) -> str:
        names = [name.strip() for name in words.split(",")] if words.strip() else []
        for name in names:
            if name not in TESTS:
                raise ValueError(f"no test is called {name[:40]!r}; {nearest(name, TESTS)}")
        if len(set(names)) < len(names):
            raise ValueError("a test stands twice; give each once")
        return ",".join(names)

    @model_validator(mode="after")
    def _are_given_together(self) -> "FilterConfig":
        if self.accept and self.quota is None:
            raise ValueError("--accept: give --quota too, the accepted pictures of each finding")
        if self.quota is not None and not self.accept:
            raise ValueError("--quota is of --accept; give the tests that a picture must pass, or --per-finding")
        if self.quota is not None and self.quota * self.tries > MOST:
            raise ValueError(f"--quota times --tries: a finding has at most {MOST:,} pictures; give less of one")
        return self

    @property
    def tests(self) -> tuple[str, ...]:
        """In the order in which they refuse; none where nothing is filtered."""
        return tuple(self.accept.split(",")) if self.accept else ()


def read_candidates(store: Store) -> pa.Table:
    """All pictures that were made for a finished set, of schema CANDIDATES, in the order of its plan.

    Raises:
        BadInput: it has none, or they are damaged.
    """
    try:
        return read_parquet(store.get(CANDIDATES_KEY)).select(CANDIDATES.names).cast(CANDIDATES)
    except KeyError:
        raise BadInput(
            f"{store.uri}: has no refused pictures ({CANDIDATES_KEY}); give a set of cxr generate --accept"
        ) from None
    except (OSError, ValueError, pa.ArrowException):
        raise BadInput(f"{store.uri}: {CANDIDATES_KEY} is damaged; restore it") from None


def refused_rows(found: CatalogSet) -> pa.Table:
    """Of a set, those that were refused, of schema CATALOG. Raises as `read_candidates`."""
    table = read_candidates(found.store)
    return table.filter(pc.invert(table["accepted"])).select(CATALOG.names)


def count_verdicts(table: pa.Table) -> dict[str, Any]:
    """Of candidates: made and accepted by finding, refused by reason; for a record."""
    accepted = table.filter(table["accepted"])

    def counts(column: pa.ChunkedArray) -> dict[str, int]:
        found = {one["values"]: one["counts"] for one in pc.value_counts(column.drop_null()).to_pylist()}
        return {name: found[name] for name in sorted(found)}

    return {
        "made": counts(table["finding"]),
        "accepted": dict.fromkeys(counts(table["finding"]), 0) | counts(accepted["finding"]),
        "refused": counts(table["reason"]),
    }


def describe_filter(found: Filtered) -> list[str]:
    """How the pictures of a set were chosen, and what it cost, in words."""
    made, accepted = (sum(counts.values()) for counts in (found.made, found.accepted))
    reasons = ", ".join(f"{name} {count:,}" for name, count in found.refused.items()) or "none"
    lines = [f"{made:,} pictures were made, {accepted:,} accepted; refused by the first test that did: {reasons}"]
    if found.short:
        short = ", ".join(f"{name} {count:,}" for name, count in found.short.items())
        lines.append(f"fewer than the {found.quota:,} wanted were accepted: {short}")
    if found.diversity:
        parts = [
            f"{name} {sides['accepted']:.2f} in place of {sides['all made']:.2f}"
            for name, sides in found.diversity.items()
        ]
        lines.append(f"what that does to diversity, by as many pictures drawn from all made: {', '.join(parts)}")
    return lines


def warn_of_choice(found: Filtered | None) -> list[str]:
    """What an evaluation of a filtered set can no longer tell; nothing of one that was not filtered."""
    chosen_by = {"label": "prompt accuracy", "realism": "distances to real pictures", "copies": "near-duplicates"}
    told = [what for test, what in chosen_by.items() if found and test in found.tests]
    if not told:
        return []
    return [
        f"the set was filtered by what measures {', '.join(told)}, so that these flatter it: judge it by what a study "
        "finds, by an audit, or by readers"
    ]
