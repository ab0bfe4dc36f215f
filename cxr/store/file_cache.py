"""Our folder on this machine for downloads, its locks, and the digests of files, kept between runs."""

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


def file_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 of each file, kept by size and modification time: a second start does not read gigabytes."""
    memory = cache_folder() / "sha256" / f"{sha256(str(folder.resolve()).encode())[:32]}.json"
    known = _read_memory(memory)
    stats = {name: (folder / name).stat() for name in names}
    marks = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
    digests = {name: _digest_unless(known.get(name), mark, folder / name) for name, mark in marks.items()}
    found = {name: [mark, digests[name]] for name, mark in marks.items()}
    if known | found != known:
        with contextlib.suppress(OSError):  # no writable cache: hash again next time
            memory.parent.mkdir(parents=True, exist_ok=True)
            part = memory.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(known | found))
            part.replace(memory)
    return digests


def cache_folder() -> Path:
    """Our folder for weights on this machine."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return (root if root.is_absolute() else Path.home() / ".cache") / "cxr" / "weights"  # as the XDG standard demands


@contextlib.contextmanager
def exclusive_lock(name: str) -> Iterator[None]:
    """One process of this machine at a time; the others wait, and find its download. The lock ends with its process."""
    lock = FileLock(cache_folder() / "locks" / name)
    with explain_disk_errors(lock.lock_file):
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def explain_disk_errors(what: str) -> Iterator[None]:
    """Errors of the disk, or of Arrow reading a bucket, as a `StoreError` of one line."""
    try:
        yield
    except OSError as error:
        if full := disk_full(error, what):
            raise full from None
        why = os.strerror(error.errno) if error.errno else "reading failed"
        raise StoreError(f"{what}: {why}; XDG_CACHE_HOME names the folder for downloaded weights") from None


def _read_memory(memory: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(memory.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _digest_unless(known: Any, mark: list[int], path: Path) -> str:
    if isinstance(known, list) and known[0] == mark:
        return known[1]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
