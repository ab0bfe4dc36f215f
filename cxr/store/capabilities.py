"""What S3 endpoints can do, found out once on this machine, and what it costs where one cannot.

`conditional`: it honours a conditional PUT (`If-None-Match: *`); some ignore it and answer 200 to both of two writers.
`checksums`: it takes a PUT with a SHA-256 checksum. `multi_delete`: it deletes many objects in one request.

Each answer is kept for each endpoint and bucket in a small file of the user's cache folder, so that one machine probes
once. Delete the folder to probe again.
"""

import contextlib
import functools
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

_log = logging.getLogger(__name__)
_known: dict[str, bool] = {}  # in this process, also where the cache folder cannot be written
_ANSWERS = {"honoured": True, "ignored": False}
CONSEQUENCES = {
    "conditional": "ignores conditional writes: of two simultaneous runs into one place the last writer wins. "
    "Let one run at a time write there.",
    "checksums": "takes no SHA-256 checksums: what arrives is compared by its MD5 and its signed hash alone. "
    "jobs/verify.py reads a finished set back.",
    "multi_delete": "deletes one object a request: sweeping up after a set of many units takes longer.",
}


def lookup(endpoint: str, bucket: str, what: str) -> bool | None:
    """True if the endpoint can do `what` (a key of `CONSEQUENCES`), False if not, None if it was not probed here."""
    file = _file(endpoint, bucket, what)
    if file.name not in _known:
        with contextlib.suppress(OSError):
            word = file.read_text(encoding="utf-8")
            if word in _ANSWERS:
                _known[file.name] = _ANSWERS[word]
    known = _known.get(file.name)
    if known is False:
        _warn_once(bucket, what)
    return known


def save(endpoint: str, bucket: str, what: str, able: bool) -> None:
    """Keep the answer for this process and, where the cache folder allows, for the machine; warns of an inability."""
    file = _file(endpoint, bucket, what)
    _known[file.name] = able
    if not able:
        _warn_once(bucket, what)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("honoured" if able else "ignored", encoding="utf-8")


@contextlib.contextmanager
def probe_lock(endpoint: str, bucket: str) -> Iterator[None]:
    """Only one process of this machine probes for conditional writes at a time; without a cache folder each does."""
    file = _file(endpoint, bucket, "conditional")
    with contextlib.ExitStack() as locks:
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            locks.enter_context(filelock.FileLock(file.with_suffix(".lock")))
        yield


def _file(endpoint: str, bucket: str, what: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache"))
    with contextlib.suppress(RuntimeError):  # a user without a home: then `~` is no folder, and nothing is kept
        cache = cache.expanduser()
    return cache / "cxr" / "endpoints" / hashlib.sha256(f"{endpoint} {bucket} {what}".encode()).hexdigest()[:32]


@functools.cache
def _warn_once(bucket: str, what: str) -> None:
    _log.warning("the S3 endpoint of bucket %r %s", bucket, CONSEQUENCES[what])
