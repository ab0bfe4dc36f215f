"""The one table that every set of images has, ingested or generated: one row an image; and the one way to read both."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr.artifact import Record, read_record
from cxr.artifact.keys import CATALOG_KEY, IMAGES, RECORD_KEY
from cxr.artifact.metrics import LabelMetrics, SourceMetrics
from cxr.data.images import decode_gray, fit_square
from cxr.data.labels import LISTS, Vocabulary, exclusive_columns
from cxr.data.lineage import merge_sources, name_sources
from cxr.errors import BadInput
from cxr.store import Store, read_parquet, sha256

SHARD = ".parquet"  # how the key of a shard of many pictures ends
OWN = ("image_id", "key", "text", "sha256")  # columns in which each picture has its own value
ROWS_AT_ONCE = 1 << 14  # as Python's objects of their own
READ_THREADS, SHARD_BATCH = 8, 100  # readers, and pictures of a shard that each holds at once

CATALOG = pa.schema(
    [
        ("image_id", pa.string()),
        ("key", pa.string()),  # of the object that holds it: a picture, or a shard of many
        ("present", pa.list_(pa.string())),  # findings, see `Labels`
        ("absent", pa.list_(pa.string())),
        ("uncertain", pa.list_(pa.string())),
        ("finding", pa.string()),  # those that are present as the name of a folder, see `Labels.folder`
        ("text", pa.string()),  # the prompt, or the report
        ("patient_id", pa.string()),
        ("view", pa.string()),
        ("sex", pa.string()),
        ("age", pa.int32()),
        ("split", pa.string()),
        ("fold", pa.int32()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("sha256", pa.string()),  # of the picture's file
    ]
)


def image_key(folder: str, image_id: str) -> str:
    """Where a picture lies in a set that has a file for each."""
    return f"{IMAGES}{folder}/{image_id}.png"


@dataclass(frozen=True)
class CatalogSet:
    """A finished set of images."""

    store: Store
    record: Record
    table: pa.Table  # of schema CATALOG

    @property
    def digest(self) -> str:
        """Of the catalog, which names every picture's content, finding and split; the place is not in it."""
        return next(stored.sha256 for stored in self.record.objects if stored.key == CATALOG_KEY)

    @property
    def vocabulary(self) -> Vocabulary:
        """The findings that its labels speak of; those of version 0.1 exclude each other."""
        told = LabelMetrics.read(self.record)
        if told.vocabulary is not None:
            return Vocabulary(tuple(told.vocabulary), told.exclusive)
        named = {name for column in LISTS for name in pc.list_flatten(self.table[column]).unique().to_pylist()}
        return Vocabulary(tuple(sorted(named)), True)

    @property
    def sources(self) -> list[str]:
        """Where its pictures came from, or those of the models behind them: as `lineage.merge_sources`."""
        told = SourceMetrics.read(self.record).sources
        return merge_sources(told) if told else name_sources(self.table["source"].to_pylist())


def read_set(store: Store) -> CatalogSet:
    """The catalog of a finished set, as its record names it.

    Raises:
        BadInput: there is no finished set of images, or its catalog is damaged.
    """
    store.check(write=False)
    record = read_record(store)
    if record is None:
        raise BadInput(
            f"{store.uri}: no {RECORD_KEY}, so unfinished or not a set of ours; give one that a job finished"
        )
    wanted = {stored.key: stored.sha256 for stored in record.objects}
    if CATALOG_KEY not in wanted:
        raise BadInput(f"{store.uri}: holds a {record.kind} artifact, no set of images; give a set")
    try:
        data = store.get(CATALOG_KEY)
    except KeyError:
        data = b""
    if sha256(data) != wanted[CATALOG_KEY]:
        raise BadInput(f"{store.uri}: {CATALOG_KEY} is missing or damaged; jobs/verify.py tells more, restore it")
    try:
        return CatalogSet(store, record, cast_catalog(read_parquet(data)))
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise BadInput(
            f"{store.uri}: {CATALOG_KEY} is no catalog of ours ({type(error).__name__}); restore it"
        ) from None


def cast_catalog(table: pa.Table) -> pa.Table:
    """The table in the schema `CATALOG`; one of version 0.1 gets the lists that its findings stand for."""
    if "present" not in table.column_names:
        for name, column in exclusive_columns(table["finding"]).items():
            table = table.append_column(name, column)
    return table.select(CATALOG.names).cast(CATALOG)


def list_compared(real: CatalogSet, synthetic: CatalogSet) -> pa.Table:
    """Which pictures of two sets are compared: the plan of what compares them."""
    sets = {"real": real.table, "synthetic": synthetic.table}
    columns = ["image_id", "finding", "split"]
    tables = [table.select(columns).add_column(0, "set", [[name] * len(table)]) for name, table in sets.items()]
    return pa.concat_tables(tables)


def metadata_lines(parts: Iterable[pa.RecordBatch], further: Mapping[str, str]) -> Iterator[str]:
    """For `datasets`' image folders: a JSON object a line, of rows of a catalog of a file a picture. No patient's id.

    Args:
        further: columns that a set has besides, and how they are called.
    """
    own = ("image_id", "finding", *LISTS, "view", "sex", "age", "sha256")
    names = {**{name: name for name in own}, **further}
    for part in parts:
        for row in part.to_pylist():
            known = {name: row[column] for column, name in names.items()}
            yield json.dumps({"file_name": row["key"].removeprefix(IMAGES), **known}, ensure_ascii=False) + "\n"


def list_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as `to_pylist` gives them, to be read only: equal values, the lists of findings most of all, are one
    object, and a million rows take 1.5 GB in place of 4."""
    seen: dict[Any, Any] = {}
    rows: list[dict[str, Any]] = []
    shared = [name for name in table.column_names if name not in OWN]
    for start in range(0, len(table), ROWS_AT_ONCE):
        part = table.slice(start, ROWS_AT_ONCE).to_pylist()
        for row in part:
            for name in shared:
                value = row[name]
                row[name] = seen.setdefault(tuple(value) if isinstance(value, list) else value, value)
        rows += part
    return rows


def read_images(
    store: Store, rows: pa.Table, size: int, advance: Callable[[int], object] = lambda count: None
) -> np.ndarray:
    """The pictures of catalog rows, uint8 [N, size, size], in the rows' order: `size`^2 bytes each in memory.

    Args:
        size: pixels; other sizes are scaled, the longest side to it, on black.
        advance: called with the number of pictures read since the last call.

    Raises:
        BadInput: a picture is missing, damaged, or not the one that the catalog names.
    """
    whole = np.empty((len(rows), size, size), np.uint8)

    def keep(row: int, picture: np.ndarray) -> None:
        whole[row] = fit_square(picture, size, "keep")

    decode_images(store, rows, keep, advance)
    return whole


def read_unscaled(store: Store, rows: pa.Table) -> np.ndarray:
    """The same at the size that they are stored in, uint8 [N, H, W], N at least 1.

    Raises:
        BadInput: as `read_images`, or they are of several sizes.
    """
    found: dict[int, np.ndarray] = {}
    decode_images(store, rows, found.__setitem__, lambda count: None)
    sizes = {picture.shape for picture in found.values()}
    if len(sizes) > 1:
        (height, width), (other_height, other_width) = sorted(sizes)[:2]
        raise BadInput(
            f"{store.uri}: its pictures are of several sizes, {width} x {height} and {other_width} x {other_height}; "
            "give a set of one size"
        )
    return np.stack([found[row] for row in range(len(rows))])


def decode_images(
    store: Store, rows: pa.Table, keep: Callable[[int, np.ndarray], object], advance: Callable[[int], object]
) -> None:
    """Hands every picture, uint8 [H, W], to `keep`, on several threads and in any order. Raises as `read_images`."""
    place = {image_id: row for row, image_id in enumerate(rows["image_id"].to_pylist())}

    def read(part: pa.Table) -> int:
        for image_id, file in read_files(store, part):
            keep(place[image_id], decode_gray(file, f"{store.uri}: {image_id}"))
        return len(part)

    with ThreadPoolExecutor(READ_THREADS) as threads:
        for done in as_completed([threads.submit(read, part) for part in group_by_key(rows)]):
            advance(done.result())


def group_by_key(rows: pa.Table) -> Iterator[pa.Table]:
    """The rows of each object, one table an object."""
    ordered = rows.sort_by("key")
    counts = pc.value_counts(ordered["key"])
    start = 0
    for count in counts.field("counts").to_pylist():
        yield ordered.slice(start, count)
        start += count


def read_files(store: Store, rows: pa.Table) -> Iterator[tuple[str, bytes]]:
    """(image_id, PNG bytes) of rows that lie in one object, each compared with its sha256 in the catalog.

    Raises:
        BadInput: as `read_images`.
    """
    key, wanted = rows["key"][0].as_py(), dict(zip(*(rows[c].to_pylist() for c in ("image_id", "sha256")), strict=True))
    found = read_shard(store, key) if key.endswith(SHARD) else read_file(store, key, next(iter(wanted)))
    for image_id, data in found:
        if image_id in wanted:
            if sha256(data) != wanted.pop(image_id):
                raise BadInput(f"{store.uri}: {key}: {image_id} is not the picture that the catalog names; restore it")
            yield image_id, data
    if wanted:
        raise BadInput(f"{store.uri}: {key} is missing or lacks {next(iter(wanted))}; restore it")


def read_file(store: Store, key: str, image_id: str) -> Iterator[tuple[str, bytes]]:
    try:
        yield image_id, store.get(key)
    except KeyError:
        return


def read_shard(store: Store, key: str) -> Iterator[tuple[str, bytes]]:
    """(image_id, PNG bytes) of a shard, a row group in memory at a time."""
    try:
        with store.open(key) as file:
            for batch in pq.ParquetFile(file).iter_batches(SHARD_BATCH, columns=["image_id", "image"]):
                yield from zip(batch["image_id"].to_pylist(), batch["image"].field("bytes").to_pylist(), strict=True)
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise BadInput(f"{store.uri}: {key} cannot be read ({type(error).__name__}); restore it") from None
