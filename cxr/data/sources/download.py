"""Large files over http(s): in parallel pieces, resumed after a break, checked against a checksum."""

import hashlib
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock
from tenacity import Retrying, retry_if_not_exception_type, stop_after_attempt, wait_exponential

from cxr.errors import BadInput, disk_full
from cxr.progress import progress

PIECE = 8 << 20  # bytes; what a break costs at most
THREADS = 4
TRIES = 5
TIMEOUT_S = 60  # of silence, after which a try has failed
CONNECTION_ERRORS = (OSError, HTTPException)  # urllib's errors are OSErrors


@dataclass(frozen=True)
class RemoteFile:
    """A file, as the server's headers describe it."""

    url: str
    size: int  # bytes
    mark: str  # changes with the content, so that pieces of two versions never meet
    by_pieces: bool  # the server gives parts of it


def download(prefix: str, names: Sequence[str], folder: Path, notes: Callable[[str], None], wait: float = 1.0) -> Path:
    """Brings the files below `prefix` into the folder; those that are there and whole stay.

    A file is checked against NAME.sha256 or NAME.md5 beside it on the server. Where the publisher has neither, the
    sha256 of the first download is noted in the folder as NAME.sha256, and later starts check against that.

    Args:
        wait: seconds before a second try; they double from try to try.

    Raises:
        BadInput: the server cannot be reached, has no such file, or sends other bytes than the checksum says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        url = f"{prefix.rstrip('/')}/{name}"
        try:
            with FileLock(folder / f".{name}.lock"):
                _download_file(url, folder / name, notes, wait)
        except CONNECTION_ERRORS as error:
            if full := disk_full(error, folder):
                raise full from None
            why = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
            raise BadInput(
                f"{url}: not to be had ({why}, {TRIES} tries); what has arrived is kept: run the same command again, "
                f"or download {name} yourself and give its folder"
            ) from None
    return folder


def _download_file(url: str, path: Path, notes: Callable[[str], None], wait: float) -> None:
    noted = path.with_name(f"{path.name}.sha256")
    if path.is_file() and noted.is_file():
        from cxr.store.file_cache import file_digests

        if file_digests(path.parent, [path.name])[path.name] == noted.read_text().split()[0]:
            return
        notes(f"{path.name}: damaged since it was downloaded; fetching it again")
    published = _retry_policy(wait)(_fetch_checksum, url)
    remote = _retry_policy(wait)(_inspect, url)
    pieces = path.with_name(f".{path.name}.{remote.mark}")
    pieces.mkdir(exist_ok=True)
    _fetch_pieces(remote, pieces, wait)
    _join_pieces(remote, pieces, path, published)
    noted.write_text(f"{_digest(path, 'sha256')}  {path.name}\n")
    if not published:
        notes(f"{path.name}: the publisher gives no checksum; its sha256 is noted in {noted}")


def _retry_policy(wait: float) -> Retrying:
    """Tries again after any break, but not where the server has no such file."""
    return Retrying(
        stop=stop_after_attempt(TRIES),
        wait=wait_exponential(multiplier=wait, max=30),
        retry=retry_if_not_exception_type(BadInput),
        reraise=True,
    )


def _open(url: str, first: int | None = None, last: int | None = None):
    headers = {"Accept-Encoding": "identity"} | ({} if first is None else {"Range": f"bytes={first}-{last}"})
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if 400 <= error.code < 500 and error.code not in (408, 429):
            raise BadInput(f"{url}: the server says HTTP {error.code}; correct the address") from None
        raise


def _fetch_checksum(url: str) -> tuple[str, str] | None:
    """Algorithm and digest, from the file beside it that has them."""
    for algorithm, digits in (("sha256", 64), ("md5", 32)):
        try:
            with _open(f"{url}.{algorithm}") as answer:
                if found := re.search(rf"\b[0-9a-fA-F]{{{digits}}}\b", answer.read(4096).decode("latin-1")):
                    return algorithm, found[0].lower()
        except BadInput:
            continue
    return None


def _inspect(url: str) -> RemoteFile:
    """Requests the first byte: the answer has the size, and shows whether ranges are supported."""
    with _open(url, 0, 0) as answer:
        headers = answer.headers
        by_pieces = answer.status == 206
        size = headers.get("Content-Range", "").rpartition("/")[2] if by_pieces else headers.get("Content-Length", "")
    if not size.isdigit():
        raise BadInput(f"{url}: the server does not tell the file's size; download it yourself and give its folder")
    version = f"{size} {headers.get('ETag')} {headers.get('Last-Modified')}"
    return RemoteFile(url, int(size), hashlib.sha256(version.encode()).hexdigest()[:16], by_pieces)


def _fetch_pieces(remote: RemoteFile, pieces: Path, wait: float) -> None:
    """Each piece that is not there yet into a file of its own, several at once."""
    spans = list(_piece_ranges(remote))
    missing = [span for span in spans if not (pieces / f"{span[0]}").is_file()]
    label = remote.url.rpartition("/")[2]
    pool = ThreadPoolExecutor(THREADS)
    try:
        jobs = [pool.submit(_retry_policy(wait), _fetch_piece, remote, first, last, pieces) for first, last in missing]
        with progress(label, len(spans), f"pieces of {PIECE >> 20} MiB", len(spans) - len(missing)) as advance:
            for done in as_completed(jobs):
                done.result()
                advance()
    finally:
        pool.shutdown(cancel_futures=True)


def _piece_ranges(remote: RemoteFile) -> Iterator[tuple[int, int]]:
    """First and last byte of each piece."""
    step = PIECE if remote.by_pieces else max(remote.size, 1)
    return ((first, min(first + step, remote.size) - 1) for first in range(0, remote.size, step))


def _fetch_piece(remote: RemoteFile, first: int, last: int, pieces: Path) -> None:
    part = pieces / f"{first}.part"
    with _open(remote.url, *((first, last) if remote.by_pieces else ())) as answer, part.open("wb") as file:
        if answer.status != (206 if remote.by_pieces else 200):
            raise ConnectionError(f"the server answered {answer.status}")
        shutil.copyfileobj(answer, file, 1 << 20)
    if part.stat().st_size != last - first + 1:
        raise ConnectionError("the piece is short")
    part.rename(pieces / f"{first}")


def _join_pieces(remote: RemoteFile, pieces: Path, path: Path, published: tuple[str, str] | None) -> None:
    """Puts the pieces into one file; `BadInput`, and nothing kept, if it is not what was published."""
    whole = pieces / "whole"
    with whole.open("wb") as file:
        for first, _ in _piece_ranges(remote):
            with (pieces / f"{first}").open("rb") as piece:
                shutil.copyfileobj(piece, file, 1 << 20)
    wrong = published[0] if published and _digest(whole, published[0]) != published[1] else ""
    if not wrong:
        whole.replace(path)
    shutil.rmtree(pieces)
    if wrong:
        raise BadInput(f"{remote.url}: arrived with another {wrong} than the publisher states; try again later")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
