"""Looks for patients in all that an artifact holds, as somebody with it and without a key would: by counting ids."""

import functools
import hashlib
import hmac
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

FORMATS = ("{}", "p{}", "patient{:05d}")
IDS = 10_000  # a test's patients are the first 400
WRONG_KEYS = (b"CXR_LINEAGE_KEY", b"0" * 64)
MIN_DIGEST_DIGITS = 16  # hex digits of a digest, or of a part of one, that are recognised


def find_patient_ids(place: Path) -> set[str]:
    """The ids, in all of FORMATS, of which a digest lies there."""
    runs = re.findall(rf"[0-9a-f]{{{MIN_DIGEST_DIGITS},}}", "\n".join(iterate_texts(place)))
    windows = {
        int(run[at : at + MIN_DIGEST_DIGITS], 16) for run in runs for at in range(len(run) - MIN_DIGEST_DIGITS + 1)
    }
    names, ways = list_candidates()
    hits = np.isin(ways, np.array(sorted(windows), np.uint64)).any(axis=1)
    return {names[row] for row in np.flatnonzero(hits)}


@functools.cache
def list_candidates() -> tuple[list[str], np.ndarray]:
    """Every id, and the beginnings of its digests, uint64 [ids, ways]."""
    names = [form.format(number) for form in FORMATS for number in range(1, IDS + 1)]
    return names, np.array(
        [[int.from_bytes(digest[:8]) for digest in patient_digests(name)] for name in names], np.uint64
    )


def patient_digests(name: str) -> Iterator[bytes]:
    """What a set could hold of a patient, if no key that is kept stood between."""
    plain = hashlib.sha256(name.encode())
    yield plain.digest()
    yield hmac.digest(WRONG_KEYS[0], name.encode(), "sha256")
    for key in WRONG_KEYS:
        yield hmac.digest(key, f"patient\n{plain.hexdigest()}".encode(), "sha256")


def iterate_texts(place: Path) -> Iterator[str]:
    """All that is written there: files as they are, and what packed ones hold."""
    for path in filter(Path.is_file, place.rglob("*")):
        data = path.read_bytes()
        yield data.decode(errors="replace")
        if path.suffix == ".parquet":
            table = pq.read_table(io.BytesIO(data))
            yield str(table.schema.metadata)
            yield "\n".join(str(column.to_pylist()) for column in table.columns)
        elif path.suffix == ".png":
            yield str(Image.open(io.BytesIO(data)).info)
