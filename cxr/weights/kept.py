"""Folders of our cache that are filled once for all processes of this machine: whole, or not there."""

import shutil
from collections.abc import Callable
from pathlib import Path

from cxr.errors import BadInput
from cxr.store import digest_of
from cxr.store.file_cache import exclusive_lock, explain_disk_errors
from cxr.weights.files import FileSpec, verify_files

_ARRIVED = "ARRIVED"  # in a copy: the digest it arrived with; last written, so a copy without it is none


def keep_folder(folder: Path, wanted: FileSpec, place: str, fill: Callable[[Path], None]) -> None:
    """Leaves at `folder` what `fill` puts into an empty folder, unless it is there already as it was.

    Args:
        place: where it comes from; begins the messages.

    Raises:
        BadInput: what was filled in is not what is wanted.
        StoreError: the disk is full.
    """
    with exclusive_lock(folder.name):
        if folder.is_dir() and _damaged(folder, wanted):
            shutil.rmtree(folder)
        if not folder.is_dir():
            _fill(folder, wanted, place, fill)


def _damaged(folder: Path, wanted: FileSpec) -> bool:
    """Whether a copy is not what it was on arrival."""
    try:
        return (folder / _ARRIVED).read_text() != digest_of(verify_files(folder, wanted).items())
    except (BadInput, OSError):
        return True


def _fill(folder: Path, wanted: FileSpec, place: str, fill: Callable[[Path], None]) -> None:
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with explain_disk_errors(place):
            part.mkdir(parents=True)
            fill(part)
        hashes = verify_files(part, wanted)
    except BadInput as error:
        shutil.rmtree(part)
        raise BadInput(f"{place}: {str(error).replace(f'{part}', 'as fetched')}") from None
    with explain_disk_errors(place):
        (part / _ARRIVED).write_text(digest_of(hashes.items()))
        part.rename(folder)
