"""Files below a folder: nothing outside it is read, and what cannot be read is a reason, not a crash."""

import hashlib
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from cxr.data.images import MissingImage, RejectedImage
from cxr.errors import BadInput

MAX_BYTES = 512 << 20  # of one picture's file
SYSTEM_FILES = ("thumbs.db", "desktop.ini")  # what file managers leave


def read_file(path: Path) -> bytes:
    """The file's bytes; `RejectedImage` if it is none, too large or cannot be read."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise RejectedImage("not a file")
        if found.st_size > MAX_BYTES:
            raise RejectedImage(f"more than {MAX_BYTES >> 20} MiB")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise MissingImage("no such file") from None
    except OSError as error:
        raise RejectedImage(f"cannot be read: {error.strerror or 'input/output error'}") from None


def file_mark(*paths: Path | str) -> str:
    """The files' mark as rows have it: a digest of their sizes and times; none if one cannot be found."""
    try:
        found = list(map(os.stat, paths))
    except (OSError, ValueError):
        return ""
    return hashlib.sha256(str([(one.st_size, one.st_mtime_ns) for one in found]).encode()).hexdigest()[:16]


def require_folder(place: str) -> Path:
    """The absolute folder; `BadInput` if it is none."""
    try:
        folder = Path(place).expanduser().absolute()
        if folder.is_dir():
            return folder
        why = "not a folder" if folder.exists() else "no such folder"
    except (OSError, ValueError, RuntimeError):  # too long a name, a NUL, ~nobody
        why = "not a usable name"
    raise BadInput(f"{place[:200]!a}: {why}; give the folder that holds the X-rays")


def require_below(path: Path, root: Path, shown: str) -> Path:
    """The path with its links followed; `BadInput` if that is outside the root, which has none."""
    folder, name = os.path.split(path)
    try:
        is_plain = name not in ("", ".", "..") and not path.is_symlink()
        real = Path(_resolve_folder(folder), name) if is_plain else path.resolve()
    except (OSError, ValueError, RuntimeError):
        raise BadInput(f"{shown[:200]!a}: not a usable file name") from None
    if not real.is_relative_to(root):
        raise BadInput(f"{shown[:200]!a}: lies outside the folder of the X-rays; move it inside, or take it out")
    return real


_resolve_folder = lru_cache(maxsize=1 << 10)(os.path.realpath)  # tables name many files of few folders


def folders_in(folder: Path) -> list[Path]:
    """Its folders in order, without hidden ones and those macOS leaves; `BadInput` if it cannot be read."""
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))
    except OSError as error:
        raise unreadable_error(error, folder) from None


def files_below(folder: Path) -> list[Path]:
    """Every file at any depth in order, without hidden files and folders; linked folders are not entered.

    Raises:
        BadInput: a folder cannot be read, so that its files would be missing.
    """

    def refuse(error: OSError) -> NoReturn:
        raise unreadable_error(error, folder)

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        found += [
            Path(parent) / name for name in names if not name.startswith(".") and name.casefold() not in SYSTEM_FILES
        ]
    return sorted(found)


def unreadable_error(error: OSError, path: Path) -> BadInput:
    """What to tell of a folder or file that must be read, of which the system names the one in the way."""
    why = error.strerror or "input/output error"
    return BadInput(f"{error.filename or path}: cannot be read: {why}; mend its rights, or move it away")
