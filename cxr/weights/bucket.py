"""From an S3 prefix into our cache: one copy per content, whole or not there."""

import shutil
from pathlib import Path

from cxr.artifact.keys import RECORD_KEY
from cxr.errors import BadInput
from cxr.store import Store, digest_of, open_store, sha256
from cxr.store.file_cache import cache_folder, exclusive_lock, explain_disk_errors
from cxr.weights.files import DIGEST, INDEX, MODEL, FileSpec, is_wanted, pipeline_parts, verify_files

_ARRIVED = "ARRIVED"  # in a copy: the digest it arrived with; last written, so a copy without it is none


def from_bucket(spec: str, wanted: FileSpec) -> tuple[Path, str]:
    """The folder and the source in words. Listing, sizes and record name the copy, so a changed prefix is a new one.

    Raises:
        BadInput: no usable bucket, no such files, or files that are not those its record or DIGEST names.
        StoreError: the bucket failed in between, or the disk is full.
    """
    store = open_store(spec)
    store.check(write=False)
    listed = sorted((key, size) for key, size in store.list() if is_wanted(key, wanted) or key in (RECORD_KEY, DIGEST))
    promises = [sha256(store.get(key)) for key, _ in listed if key in (RECORD_KEY, DIGEST)]
    folder = cache_folder() / "s3" / sha256(f"{store.uri} {listed} {promises}".encode())[:32]
    if wanted is MODEL and INDEX in dict(listed):
        pipeline_parts(store.get(INDEX), store.uri)  # raises for another family, before gigabytes are copied
    with exclusive_lock(folder.name):
        if folder.is_dir() and _damaged(folder, wanted):
            shutil.rmtree(folder)
        if not folder.is_dir():
            _fetch(store, [key for key, _ in listed], folder, wanted)
    return folder, store.uri


def _damaged(folder: Path, wanted: FileSpec) -> bool:
    """Whether a copy is not what it was on arrival."""
    try:
        return (folder / _ARRIVED).read_text() != digest_of(verify_files(folder, wanted).items())
    except (BadInput, OSError):
        return True


def _fetch(store: Store, keys: list[str], folder: Path, wanted: FileSpec) -> None:
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    with explain_disk_errors(store.uri):
        part.mkdir(parents=True)
        for key in keys:
            _copy(store, key, part / key)
    try:
        hashes = verify_files(part, wanted)
    except BadInput as error:
        shutil.rmtree(part)
        raise BadInput(f"{store.uri}: {str(error).replace(f'{part}', 'as fetched')}") from None
    with explain_disk_errors(store.uri):
        (part / _ARRIVED).write_text(digest_of(hashes.items()))
        part.rename(folder)


def _copy(store: Store, key: str, path: Path) -> None:
    """In pieces: a UNet of several GB does not pass through memory."""
    path.parent.mkdir(exist_ok=True)
    with store.open(key) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 16 << 20)
