"""Of synthetic pictures what evaluations and audits found: quarantined or not, and the nearest training picture."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from cxr.artifact.keys import COPIES_KEY, PICTURES_KEY, TAKEN_OUT_KEY
from cxr.artifact.kinds import AUDIT, EVALUATION, IMAGES_WITHOUT_COPIES
from cxr.artifact.metrics import StoredPart
from cxr.browse.given import Given, read_object
from cxr.errors import BadInput
from cxr.store import read_parquet

ACCEPTED, QUARANTINED = "accepted", "quarantined"


class ComparedSets(StoredPart):
    """Which sets an evaluation or an audit compared, by their digests."""

    real: str = ""
    synthetic: str = ""


@dataclass
class Judged:
    """Of the pictures of a set, by their ids."""

    status: dict[str, str] = field(default_factory=dict)  # of those that could be judged
    nearest: dict[str, tuple[str, float]] = field(default_factory=dict)  # id of the training picture, and its score
    by: list[str] = field(default_factory=list)  # names of the artifacts that judged
    real: str = ""  # digest of the set of the nearest training pictures

    @property
    def quarantined(self) -> set[str]:
        return {image_id for image_id, status in self.status.items() if status == QUARANTINED}


def compared_sets(one: Given) -> ComparedSets | None:
    """Of an evaluation or an audit."""
    return ComparedSets.model_validate(one.record.inputs) if one.kind in (EVALUATION, AUDIT) else None


def names_of_set(one: Given) -> set[str]:
    """The digests of a set and, where it was taken from another, of that one."""
    own = {one.images.digest} if one.images else set()
    origin = one.record.recipe.get("set")
    return own | ({origin} if isinstance(origin, str) else set())


def judge_pictures(one: Given, given: Sequence[Given]) -> Judged:
    """What all that is given says of this set's pictures. A picture is quarantined if any of them flags it; the nearest
    training picture is that of the first.

    Raises:
        BadInput: what an artifact says of pictures is damaged.
    """
    found, own = Judged(), names_of_set(one)
    for other in given:
        if other.kind == IMAGES_WITHOUT_COPIES and own & names_of_set(other):
            take_quarantine(other, found)
        compared = compared_sets(other)
        if compared and compared.synthetic in own:
            take_search(other, compared.real, found)
    return found


def take_quarantine(other: Given, found: Judged) -> None:
    """Adds what a set without copies has taken out, and that the rest was accepted."""
    found.by.append(other.name)
    if other.images:
        for image_id in other.images.table["image_id"].to_pylist():
            found.status.setdefault(image_id, ACCEPTED)
    for line in (read_object(other, TAKEN_OUT_KEY) or b"").splitlines():
        found.status[json.loads(line)["image_id"]] = QUARANTINED


def take_search(other: Given, real: str, found: Judged) -> None:
    """Adds what an evaluation or an audit found of each picture.

    Args:
        real: digest of the set whose training pictures it compared with.
    """
    data = read_object(other, {EVALUATION: COPIES_KEY, AUDIT: PICTURES_KEY}[other.kind])
    if data is None:
        return
    found.by.append(other.name)
    first = not found.nearest
    found.real = real if first else found.real
    try:
        for image_id, flags, nearest in read_rows(read_parquet(data)):
            if any(flags):
                found.status[image_id] = QUARANTINED
            elif False in flags:
                found.status.setdefault(image_id, ACCEPTED)
            if first and nearest:
                found.nearest[image_id] = nearest
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise BadInput(f"{other.store.uri}: its pictures' table is damaged ({type(error).__name__})") from None


def read_rows(table: pa.Table) -> Iterator[tuple[str, list[bool | None], tuple[str, float] | None]]:
    """(image id, whether it is flagged by each detector, its nearest training picture by the first of them)."""
    names = table.column_names
    flags = [name for name in names if name == "copied" or name.startswith("copied_")]
    originals = [name for name in names if name == "original" or name.startswith("original_")]
    score = originals[0].replace("original", "score") if originals else None
    for row in table.to_pylist():
        nearest = (row[originals[0]], row[score]) if score and row[originals[0]] is not None else None
        yield row["image_id"], [row[name] for name in flags], nearest
