"""What a page knows of each picture of a set, as columns whose equal values are stored once."""

import json
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.artifact.public_text import names_place
from cxr.browse.given import Given
from cxr.browse.judged import Judged
from cxr.browse.privacy import OF_PATIENTS, is_of_phantoms
from cxr.data.catalog import list_rows
from cxr.data.labels import shown_findings

# Name, what a reader sees, and how it is filtered: by one value, by one of several, by a part of the text, or not.
COLUMNS = (
    ("finding", "Finding", "several"), ("uncertain", "Uncertain", "several"), ("status", "Quarantine", "one"),
    ("split", "Split", "one"), ("fold", "Fold", "one"), ("view", "View", "one"), ("sex", "Sex", "one"),
    ("age", "Age", "none"), ("text", "Prompt", "text"), ("seed", "Seed", "text"), ("patient", "Patient", "text"),
    ("nearest", "Nearest in training", "text"), ("score", "Correlation with it", "none"),
    ("nearest_row", "", "none"), ("id", "Picture", "text"),
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """The pictures of a set that a page shows."""

    given: Given
    rows: pa.Table  # of its catalog
    private: bool  # the page stays with its owner
    judged: Judged


def draw_rows(given: Given, most: int, wanted: Collection[str]) -> pa.Table:
    """The rows of a set's catalog; of more than `most` those that are wanted, and others at random, so many in all, the
    same each time, in their order.

    Args:
        wanted: ids.
    """
    assert given.images is not None
    table = given.images.table
    if len(table) <= most:
        return table
    rng = np.random.default_rng(int(given.images.digest[:16], 16))
    order = rng.permutation(len(table))
    first = pc.is_in(table["image_id"], pa.array([*wanted], pa.string())).to_numpy()[order]
    return table.take(np.sort(np.concatenate([order[first], order[~first]])[:most]))


def wanted_ids(one: Given, judged: Mapping[str, Judged]) -> set[str]:
    """Of a set the pictures that are flagged, and those that pictures of another set are nearest to.

    Args:
        judged: of each set, by its name.
    """
    found = set(judged[one.name].quarantined)
    for other in judged.values():
        if one.images and other.real == one.images.digest:
            found |= {original for original, _ in other.nearest.values()}
    return found


def describe_pictures(shown: Shown, seeds: Sequence[str | None], places: Mapping[str, int] | None) -> str:
    """The JSON of all columns that say something of a picture.

    Args:
        seeds: of each row.
        places: of the training pictures that are in the page, their rows, by id; None: their set is not, and none is
            named.
    """
    values = list_values(shown, seeds, places)
    named = [
        {"name": name, "label": label_of(name, label, shown), "filter": kind, **encoded}
        for name, label, kind in COLUMNS
        if (encoded := encode_column(values.get(name, [])))
    ]
    return json.dumps({"count": len(shown.rows), "columns": named}, ensure_ascii=False, separators=(",", ":"))


def label_of(name: str, label: str, shown: Shown) -> str:
    return "Report" if name == "text" and not shown.given.is_synthetic else label


def list_values(shown: Shown, seeds: Sequence[str | None], places: Mapping[str, int] | None) -> dict[str, list[Any]]:
    """A value a row for each column; what is of patients only where the page stays with its owner, or where they are
    invented."""
    images, rows = shown.given.images, list_rows(shown.rows)
    assert images is not None
    ids = [row["image_id"] for row in rows]
    read: dict[str, Callable[[dict[str, Any]], Any]] = {
        "finding": lambda row: tuple(name.replace("_", " ") for name in shown_findings(row)),
        "uncertain": lambda row: tuple(name.replace("_", " ") for name in row["uncertain"] or ()) or None,
        **{name: itemgetter(name) for name in ("view", "sex", "age")},
        "text": lambda row: row["text"] if shown.private or not names_place(row["text"]) else None,
    }  # fmt: skip
    if shown.private or is_of_phantoms(images):
        read |= {name.removesuffix("_id"): itemgetter(name) for name in OF_PATIENTS}
    values = {name: [of(row) for row in rows] for name, of in read.items()}
    judged = shown.judged
    if judged.status:
        values["status"] = [judged.status.get(image_id, "not judged") for image_id in ids]
    if places is not None:
        nearest = [judged.nearest.get(image_id) for image_id in ids]
        values["nearest"] = [found and found[0] for found in nearest]
        values["score"] = [found and round(found[1], 3) for found in nearest]
        values["nearest_row"] = [found and places.get(found[0]) for found in nearest]
    return values | {"id": ids, "seed": list(seeds)}


def encode_column(values: Sequence[Hashable]) -> dict[str, Any] | None:
    """Different values in their first order, and the place of each row's among them, -1 where it has none; None where
    no row has one. Where most rows have a value of their own, the values alone, a row each."""
    places: dict[Hashable, int] = {}
    codes = [-1 if value is None else places.setdefault(value, len(places)) for value in values]
    if not places:
        return None
    if 2 * len(places) > len(codes):
        return {"values": list(values)}
    return {"values": list(places), "codes": codes}
