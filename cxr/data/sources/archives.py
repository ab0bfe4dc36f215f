"""tar archives of strangers: read and unpacked without anything landing outside the folder meant for it."""

import contextlib
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cxr.data.sources.vocabulary import escape_unprintable
from cxr.errors import BadInput


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[tarfile.TarFile]:
    """The archive for one pass from its beginning; what is wrong with it is a `BadInput`."""
    try:
        with tarfile.open(path, "r|*") as archive:
            yield archive
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{path}: no such file or folder") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise BadInput(f"{path}: not a whole tar archive ({type(error).__name__}); get it again") from None
    except OSError as error:  # gzip's, too
        raise BadInput(f"{path}: cannot be read: {error.strerror or 'damaged'}; get it again") from None


def require_safe_member(member: tarfile.TarInfo, path: Path) -> tarfile.TarInfo:
    """The member, if it is a file or folder below the archive's root; archives of X-rays hold nothing else.

    Raises:
        BadInput: names the member.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        why = "lies outside the archive's folder"
    elif not (member.isfile() or member.isdir()):
        why = "is a link or a device"
    else:
        return member
    raise BadInput(f"{path}: member {escape_unprintable(member.name)[:200]!r} {why}; do not trust this archive")


def unpack(path: Path, folder: Path) -> Path:
    """Unpacks the archive into `folder`, which appears only once it is whole; at once if it is there.

    Raises:
        BadInput: damaged, or a member would land elsewhere.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as scratch:
        part = Path(scratch) / "part"
        part.mkdir()
        with open_archive(path) as archive:
            for member in archive:
                archive.extract(require_safe_member(member, path), part, filter="data")
        part.rename(folder)
    return folder
