"""Local files as objects: whole, or in pieces where they may be larger than one write takes."""

import io
import json
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr.errors import StoreError
from cxr.store.base import Store, StoredObject, sha256

if TYPE_CHECKING:
    import pyarrow as pa

PIECE = 1 << 28  # bytes; S3 takes 5 GB in one write, and a failed one is sent again from its beginning


def put_file(store: Store, key: str, path: Path) -> StoredObject:
    """Stores a local file without reading it into memory."""
    if not path.stat().st_size:
        return store.put(key, b"")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return store.put(key, data)


def parquet(table: "pa.Table") -> bytes:
    """The table as a Parquet file; its schema's metadata go with it."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def read_parquet(data: bytes) -> "pa.Table":
    """The table of what `parquet` gives. Raises `OSError` or `pa.ArrowException` where it is none."""
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(data))


def json_lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """A JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def put_folder(store: Store, prefix: str, folder: Path) -> list[StoredObject]:
    """Stores every file below a local folder, in the order of their names, under `prefix` and its name there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [put_file(store, f"{prefix}{path.relative_to(folder).as_posix()}", path) for path in files]


def put_pieces(store: Store, prefix: str, path: Path) -> list[StoredObject]:
    """Stores a file of any size as objects `prefix` and a number."""
    with path.open("rb") as file:
        pieces = iter(lambda: file.read(PIECE), b"")
        return [store.put(f"{prefix}{number:04d}", piece) for number, piece in enumerate(pieces)]


def get_pieces(store: Store, pieces: list[StoredObject], path: Path) -> None:
    """Writes what `put_pieces` stored to a local file.

    Raises:
        StoreError: a piece is not there, or not what was stored.
    """
    with path.open("wb") as file:
        for piece in pieces:
            try:
                data = store.get(piece.key)
            except KeyError:
                raise StoreError(f"{store.uri}: {piece.key} is gone; choose another --out") from None
            if sha256(data) != piece.sha256:
                raise StoreError(f"{store.uri}: {piece.key} is damaged; choose another --out")
            file.write(data)
