"""Our folder on this machine for what was fetched: its place, its locks, and the digests of files, remembered."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from cxr.errors import StoreError, disk_full
from cxr.store.base import sha256


def hashes_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 of each file, remembered by size and modification time: a second start does not read gigabytes."""
    memory = cache() / "sha256" / f"{sha256(str(folder.resolve()).encode())[:32]}.json"
    known = _recall(memory)
    marks = {name: _mark(folder / name) for name in names}
    digests = {name: _digest_unless(known.get(name), mark, folder / name) for name, mark in marks.items()}
    found = {name: [mark, digests[name]] for name, mark in marks.items()}
    if known | found != known:
        with contextlib.suppress(OSError):  # no writable cache: hash again next time
            memory.parent.mkdir(parents=True, exist_ok=True)
            part = memory.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(known | found))
            part.replace(memory)
    return digests


def cache() -> Path:
    """Our folder for weights on this machine."""
    told = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return (told if told.is_absolute() else Path.home() / ".cache") / "cxr" / "weights"  # as the XDG standard says


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Alone on this machine: others wait, then find what was fetched. The lock goes with its process."""
    lock = FileLock(cache() / "locks" / name)
    with disk_told(lock.lock_file):
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def disk_told(what: str) -> Iterator[None]:
    """Trouble with the disk, or with Arrow's reading of a bucket, as one line."""
    try:
        yield
    except OSError as error:
        if full := disk_full(error, what):
            raise full from None
        why = os.strerror(error.errno) if error.errno else "reading failed"
        raise StoreError(f"{what}: {why}; XDG_CACHE_HOME names the folder for downloaded weights") from None


def _recall(memory: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(memory.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _mark(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _digest_unless(known: Any, mark: list[int], path: Path) -> str:
    if isinstance(known, list) and known[0] == mark:
        return known[1]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
