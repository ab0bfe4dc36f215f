"""What has become of the source's pictures, unit by unit, as the commits of an ingest in the making tell it."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr.artifact import listed_units, unit_key
from cxr.artifact.keys import COMMITS
from cxr.data.boxes import Box
from cxr.data.images import THUMBNAIL
from cxr.store import Store
from cxr.tables import batched

READ_THREADS = 16  # and as many units wait in memory at most


@dataclass(frozen=True)
class StoredImage:
    """A picture that the image loader accepted and that is stored."""

    row: int  # in the plan
    image_id: str
    key: str
    size: int  # bytes of the PNG
    sha256: str
    thumbnail: str  # base64 of uint8 pixels, row by row
    boxes: tuple[Box, ...] = ()  # in the stored picture


@dataclass(frozen=True)
class RefusedImage:
    """A picture that the image loader rejected, and why."""

    row: int
    name: str
    reason: str


@dataclass(frozen=True)
class UnitOutcome:
    """What became of a unit's pictures."""

    kept: list[StoredImage]
    refused: list[RefusedImage]


def read_units(store: Store, units: Iterable[int]) -> Iterator[UnitOutcome]:
    """The commits of units, in that order."""

    with ThreadPoolExecutor(READ_THREADS) as threads:  # which only wait: what each parses would stay in its own heap
        for few in batched(units, READ_THREADS):
            yield from map(parse_unit, threads.map(lambda unit: store.get(unit_key(COMMITS, unit)), few))


def parse_unit(commit: bytes) -> UnitOutcome:
    stored = json.loads(commit)
    kept = [
        StoredImage(**{**one, "boxes": tuple(Box(**box) for box in one.get("boxes", ()))}) for one in stored["kept"]
    ]
    return UnitOutcome(kept, [RefusedImage(**refused) for refused in stored["refused"]])


def read_refused(store: Store) -> dict[int, list[RefusedImage]]:
    """What was refused of each unit that is stored, in the source's order."""
    stored = sorted(listed_units(store))
    return {unit: read.refused for unit, read in zip(stored, read_units(store, stored), strict=True)}


def list_refusals(refused: Iterable[RefusedImage]) -> list[dict[str, str]]:
    """A line of `rejected.jsonl` for each."""
    return [{"name": one.name, "reason": one.reason} for one in refused]


@dataclass(frozen=True)
class ThumbnailFile:
    """Thumbnails in a local file, which as an array would be most of what the driver holds; indexed as such a one."""

    path: Path
    places: np.ndarray  # int [N], where in the file each is

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """uint8 [n, side, side]."""
        places = self.places[rows]
        size, data = THUMBNAIL**2, bytearray()
        with self.path.open("rb", buffering=0) as file:
            for place in places.tolist():
                file.seek(place * size)
                data += file.read(size)
        return np.frombuffer(data, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)
