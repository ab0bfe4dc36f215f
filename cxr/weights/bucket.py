"""From an S3 prefix into our cache: one copy per content, whole or not there."""

import shutil
from pathlib import Path

from cxr.artifact.keys import RECORD_KEY
from cxr.store import Store, open_store, sha256
from cxr.store.file_cache import cache_folder
from cxr.weights.files import DIGEST, INDEX, MODEL, FileSpec, is_half, is_wanted, leave_out_halves, pipeline_parts
from cxr.weights.kept import keep_folder


def from_bucket(spec: str, wanted: FileSpec) -> tuple[Path, str]:
    """The folder and the source in words. Listing, sizes and record name the copy, so a changed prefix is a new one.

    Raises:
        BadInput: no usable bucket, no such files, or files that are not those its record or DIGEST names.
        StoreError: the bucket failed in between, or the disk is full.
    """
    store = open_store(spec)
    store.check(write=False)
    sizes = dict(store.list())
    taken = leave_out_halves(key for key in sizes if is_wanted(key, wanted) or (wanted is MODEL and is_half(key)))
    listed = sorted((key, sizes[key]) for key in (*taken, *({RECORD_KEY, DIGEST} & sizes.keys())))
    promises = [sha256(store.get(key)) for key, _ in listed if key in (RECORD_KEY, DIGEST)]
    folder = cache_folder() / "s3" / sha256(f"{store.uri} {listed} {promises}".encode())[:32]
    if wanted is MODEL and INDEX in dict(listed):
        pipeline_parts(store.get(INDEX), store.uri)  # raises for another family, before gigabytes are copied
    keep_folder(folder, wanted, store.uri, lambda part: _fetch(store, [key for key, _ in listed], part))
    return folder, store.uri


def _fetch(store: Store, keys: list[str], folder: Path) -> None:
    for key in keys:
        _copy(store, key, folder / key)


def _copy(store: Store, key: str, path: Path) -> None:
    """In pieces: a UNet of several GB does not pass through memory."""
    path.parent.mkdir(exist_ok=True)
    with store.open(key) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 16 << 20)
