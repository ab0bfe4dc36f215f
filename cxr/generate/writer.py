"""From pictures to objects: a unit's PNG files and their commit, or one shard; and reading both back."""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr.artifact import unit_key
from cxr.artifact.keys import COMMITS, IMAGES
from cxr.data.catalog import CATALOG, image_key
from cxr.data.images import GENERATED_XMP, XMP_KEYWORD, encode_png
from cxr.data.labels import LISTS
from cxr.data.shards import IMAGE, encode_shard, image_features
from cxr.errors import StoreError
from cxr.generate.config import Layout
from cxr.store import Store, StoredObject, sha256

FAILED, SHARDS = "failed/", "shards/"
PUT_THREADS = 8
READ_THREADS = 32

SHARD_SCHEMA = pa.schema(
    [
        ("image", IMAGE),
        ("image_id", pa.string()),
        ("finding", pa.string()),
        ("prompt", pa.string()),
        ("negative_prompt", pa.string()),
        ("seed", pa.int64()),
        ("sha256", pa.string()),
        *map(CATALOG.field, (*LISTS, "view", "sex", "age")),
    ]
)


@dataclass(frozen=True)
class Image:
    """A stored picture: where it is and what its PNG bytes are."""

    image_id: str
    key: str
    size: int  # bytes
    sha256: str


def shard_key(unit: int) -> str:
    return unit_key(SHARDS, unit, ".parquet")


def png_of(row: dict[str, Any], pixels: np.ndarray, provenance: str) -> bytes:
    """A picture as its file: pixels, the mark of generated media, and what it was made from."""
    made_from = {key: row[key] for key in ("image_id", "finding", "prompt", "negative_prompt", "seed")}
    recipe = json.dumps({**made_from, **json.loads(provenance)}, sort_keys=True)
    return encode_png(pixels, {XMP_KEYWORD: GENERATED_XMP, "cxr": recipe})


def store_unit(store: Store, layout: Layout, unit: int, rows: Sequence[dict[str, Any]], pictures: np.ndarray,
               provenance: str) -> int:  # fmt: skip
    """Stores a unit's pictures, uint8 [len(rows), H, W], its commit last. Returns the bytes of the pictures."""
    files = [png_of(row, pixels, provenance) for row, pixels in zip(rows, pictures, strict=True)]
    if layout == "shards":
        store.put(shard_key(unit), shard_of(rows, files))
        return sum(map(len, files))
    with ThreadPoolExecutor(PUT_THREADS) as threads:
        stored = list(threads.map(store.put, [image_key(row["finding"], row["image_id"]) for row in rows], files))
    images = [Image(row["image_id"], s.key, s.size, s.sha256) for row, s in zip(rows, stored, strict=True)]
    store.put(unit_key(COMMITS, unit), json.dumps([asdict(image) for image in images]).encode())
    return sum(image.size for image in images)


def shard_of(rows: Sequence[dict[str, Any]], files: Sequence[bytes]) -> bytes:
    """A Parquet file that `datasets` opens as pictures with their texts."""
    table = pa.Table.from_pylist(
        [
            {
                **{name: row[name] for name in SHARD_SCHEMA.names if name in row},
                "image": {"bytes": file, "path": f"{row['image_id']}.png"},
                "sha256": sha256(file),
            }
            for row, file in zip(rows, files, strict=True)
        ],
        schema=SHARD_SCHEMA,
    )
    return encode_shard(table, image_features(SHARD_SCHEMA))


def catalog_row(row: dict[str, Any], image: Image, source: str, licence: str) -> dict[str, Any]:
    """A row of the catalog, of a plan's row and the picture that was made of it."""
    asked = {name: row[name] for name in ("image_id", "finding", *LISTS, "view", "sex", "age")}
    stored = {"key": image.key, "sha256": image.sha256, "source": source, "licence": licence}
    return {**asked, "text": row["prompt"], **stored}


def metadata_line(row: dict[str, Any], image: Image) -> str:
    """The same for `datasets`' image folders, with all that was asked for."""
    line = {"file_name": image.key.removeprefix(IMAGES), **row, "sha256": image.sha256}
    return json.dumps(line, ensure_ascii=False) + "\n"


def store_failure(store: Store, unit: int, rows: Sequence[dict[str, Any]], error: str) -> None:
    failure = {"unit": unit, "error": error, "rows": list(rows)}
    store.put(unit_key(FAILED, unit), json.dumps(failure, indent=1).encode())


def committed_images(store: Store, layout: Layout, units: int) -> Iterator[list[Image]]:
    """Each unit's pictures, in the order of the plan; a few units in memory at a time."""
    read = read_shard_images if layout == "shards" else read_commit
    with ThreadPoolExecutor(READ_THREADS) as threads:
        for start in range(0, units, READ_THREADS):
            yield from threads.map(read, [store] * READ_THREADS, range(start, min(start + READ_THREADS, units)))


def read_commit(store: Store, unit: int) -> list[Image]:
    return [Image(**image) for image in json.loads(store.get(unit_key(COMMITS, unit)))]


def read_shard_images(store: Store, unit: int) -> list[Image]:
    """The names and digests in a shard, without its pictures."""
    table = read_shard(store, unit, columns=["image_id", "sha256"])
    return [Image(row["image_id"], shard_key(unit), 0, row["sha256"]) for row in table.to_pylist()]


def read_pictures(store: Store, layout: Layout, rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """The PNG bytes of plan rows."""
    for row in rows:
        if layout == "folder":
            yield store.get(image_key(row["finding"], row["image_id"]))
        else:
            found = read_shard(store, row["unit"], filters=[("image_id", "=", row["image_id"])])
            yield found["image"][0].as_py()["bytes"]


def read_shard(store: Store, unit: int, **what: Any) -> pa.Table:
    """What pyarrow's `read_table` gives of a shard.

    Raises:
        StoreError: the store does not answer, or not with a shard.
    """
    key = shard_key(unit)
    try:
        return pq.read_table(store.open(key), **what)
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise StoreError(f"{store.uri}: {key} cannot be read ({type(error).__name__}); run the same again") from None


def shard_objects(store: Store, units: int) -> list[StoredObject]:
    """Size and digest of every shard, read back from the store."""
    with ThreadPoolExecutor(READ_THREADS) as threads:
        return list(threads.map(store.read_back, (shard_key(unit) for unit in range(units))))
