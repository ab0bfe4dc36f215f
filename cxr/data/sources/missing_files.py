"""A table whose files are not at their paths: they are searched below its folder, or one line helps."""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from cxr.data.sources.path_finder import AmbiguousPath, FileFinder, is_address, to_local_path
from cxr.data.sources.vocabulary import escape_unprintable
from cxr.errors import BadInput


def locate_files(
    written: Iterator[tuple[str, str]], root: Path, table: Path, notes: Callable[[str], None]
) -> dict[str, Path]:
    """Written path -> file, for the paths of a table of which none is there as it is written.

    Where one is there, the others are as they are written or missing: a picture of the same name in another folder
    could be another one.

    Args:
        written: where a file is named (line 7), and its path.

    Raises:
        BadInput: none is to be found, or one may be any of several.
    """
    paths: dict[str, str] = {}  # as written -> where
    for where, file in written:
        local = to_local_path(file, root)
        if _is_there(root, local):
            if local != file:
                read = escape_unprintable(local)
                notes(f"{table.name}: paths are written as on another system: {file[:200]!a} is read as {read}")
            return {}
        paths.setdefault(file, where)
    finder, found = FileFinder(root), {}
    folders = {PurePosixPath(to_local_path(file, root)).parent for file in paths}
    for file, where in paths.items():
        try:
            path = finder.find(to_local_path(file, root), one_folder=len(folders) == 1)
        except AmbiguousPath as several:
            raise BadInput(
                f"{table}: {where}: {file[:200]!a} is not below {root}, and may be {several}; write which, relative to "
                "that folder"
            ) from None
        if path:
            found[file] = path
    if paths and not found:
        _raise_not_found(paths, root, table)
    if found:
        first = next(iter(found))
        local = escape_unprintable(found[first].relative_to(root).as_posix())
        notes(
            f"{table.name}: {len(found):,} of {len(paths):,} files are not where it says and were found by name: "
            f"{first[:200]!a} is {local}"
        )
    return found


def _is_there(root: Path, path: str) -> bool:
    try:
        return (root / path).exists()
    except (OSError, ValueError):
        return False


def _raise_not_found(paths: dict[str, str], root: Path, table: Path) -> None:
    """Raises, unless one of the paths leads out of the folder, which is raised with its line where the row is read."""
    first, where = next(iter(paths.items()))
    if any(".." in PurePosixPath(path).parts or _is_there(root, path) for path in paths):
        return
    there = f"none of its {len(paths):,} files is below {root}; the first, {where}, is {first[:200]!a}"
    if is_address(first):
        raise BadInput(f"{table}: {there}, an address; files are read from a local folder: download them into that one")
    raise BadInput(
        f"{table}: {there}; put the table where its paths start from, or write them relative to its folder, with their "
        "suffixes"
    )
