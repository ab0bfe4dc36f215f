"""Paths that were written elsewhere, as files below this folder: Windows', addresses, other roots, other suffixes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from cxr.data.sources.file_kinds import OTHER_SUFFIXES, PICTURE_SUFFIXES, is_auxiliary_folder
from cxr.data.sources.files import files_below
from cxr.data.sources.vocabulary import SPLIT_NAMES

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:/ is a drive


class AmbiguousPath(Exception):
    """Several files may be meant; the message names two of them."""


def is_address(written: str) -> bool:
    return bool(_ADDRESS.match(written)) and not written.casefold().startswith("file:")


def to_local_path(written: str, root: Path) -> str:
    """The path as this system writes it: of an address its path, of a Windows path slashes and no drive."""
    if _ADDRESS.match(written):
        return unquote(urlsplit(written).path).lstrip("/" if is_address(written) else "")
    if "\\" not in written or (root / written).exists():
        return written
    return re.sub(r"^(?:[A-Za-z]:)?/+|^[A-Za-z]:", "", written.replace("\\", "/"))


@dataclass(frozen=True)
class _Candidate:
    file: PurePosixPath  # below the root
    exactness: int  # 0: the name as written; 1: in another case; 2: with another suffix
    shared: int  # folders above it that are the same, from the file upwards
    contained: bool  # no folder of either path contradicts the other's


class FileFinder:
    """Finds the one file below a root that a path means that was written for another place."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, path: str, one_folder: bool) -> Path | None:
        """The file; None where there is none, or only such as can be another picture of the same name.

        Args:
            path: as `to_local_path` gives it.
            one_folder: whether all paths of the table lie in one folder, so that its name does not help.

        Raises:
            AmbiguousPath: several fit.
        """
        fitting = list(self._candidates(PurePosixPath(path), one_folder))
        nearest = [c for c in fitting if c.shared == max(c.shared for c in fitting)]
        best = [c for c in nearest if c.exactness == min(c.exactness for c in fitting)]
        if len(best) == 1:
            return self.root / best[0].file
        if fitting:
            first, *others = sorted(str(c.file) for c in fitting)
            raise AmbiguousPath(f"{first} or {others[0]}")
        return None

    def _candidates(self, path: PurePosixPath, one_folder: bool) -> Iterator[_Candidate]:
        for file in self._files.get(_name_key(path), ()):
            mine, theirs = _folder_names(path), _folder_names(file)
            shared = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), None)
            contained = shared is None
            shared = min(len(mine), len(theirs)) if shared is None else shared
            parts_differ = not contained and bool(SPLIT_NAMES.keys() & {*mine[shared:], *theirs[shared:]})
            if contained or (not parts_differ and (shared or one_folder)):
                exactness = (file.name != path.name) + (file.name.casefold() != path.name.casefold())
                yield _Candidate(file, exactness, shared, contained)

    @cached_property
    def _files(self) -> dict[str, list[PurePosixPath]]:
        """Name without a picture's suffix -> files, without what lies in folders of masks and the like."""
        found: dict[str, list[PurePosixPath]] = {}
        for path in files_below(self.root):
            file = PurePosixPath(path.relative_to(self.root))
            if file.suffix.casefold() not in OTHER_SUFFIXES and not any(map(is_auxiliary_folder, file.parent.parts)):
                found.setdefault(_name_key(file), []).append(file)
        return found


def _name_key(path: PurePosixPath) -> str:
    return (path.stem if path.suffix.casefold() in PICTURE_SUFFIXES else path.name).casefold()


def _folder_names(path: PurePosixPath) -> list[str]:
    """The folders' names, folded, the file's own first."""
    return [name.casefold() for name in reversed(path.parent.parts) if name not in ("/", ".")]
