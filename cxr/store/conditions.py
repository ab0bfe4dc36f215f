"""What this machine has learned about S3 endpoints: whether they honour a conditional PUT (`If-None-Match: *`).

Some ignore it and answer 200 to both of two writers. The answer is kept for each endpoint and bucket in a small file
of the user's cache folder, so that it costs one extra PUT a machine. Delete the folder to ask again.
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
_learned: dict[str, bool] = {}  # for this process, also where the cache folder cannot be written
_WORDS = {"honoured": True, "ignored": False}


def recall(endpoint: str, bucket: str) -> bool | None:
    """True if conditional PUTs are honoured there, False if ignored, None if this machine does not know."""
    file = _file(endpoint, bucket)
    if file.name not in _learned:
        with contextlib.suppress(OSError):
            word = file.read_text()
            if word in _WORDS:
                _learned[file.name] = _WORDS[word]
    known = _learned.get(file.name)
    if known is False:
        _warn_once(bucket)
    return known


def remember(endpoint: str, bucket: str, honoured: bool) -> None:
    """Keep the answer for this process and, where the cache folder allows, for the machine."""
    file = _file(endpoint, bucket)
    _learned[file.name] = honoured
    with contextlib.suppress(OSError):
        file.write_text("honoured" if honoured else "ignored")


@contextlib.contextmanager
def asking(endpoint: str, bucket: str) -> Iterator[None]:
    """Only one process of this machine asks an endpoint at a time; without a cache folder each asks."""
    file = _file(endpoint, bucket)
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(filelock.FileLock(file.with_suffix(".lock")))
        yield


def _file(endpoint: str, bucket: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "cxr" / "endpoints" / hashlib.sha256(f"{endpoint} {bucket}".encode()).hexdigest()[:32]


@functools.cache
def _warn_once(bucket: str) -> None:
    _log.warning(
        "the S3 endpoint of bucket %r ignores conditional writes: of two simultaneous runs into one place the last "
        "writer wins. Let one run at a time write there.", bucket
    )  # fmt: skip
