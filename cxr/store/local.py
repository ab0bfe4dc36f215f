"""The store in a local folder: atomic files, commits that never overwrite, nothing outside the root."""

import contextlib
import errno
import hashlib
import itertools
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.errors import BadInput, StoreError, disk_full
from cxr.store.base import TEMP_PREFIX, Data, ListedObject, Store, StoredObject, check_key, sha256

if TYPE_CHECKING:
    import pyarrow as pa

_counter = itertools.count()
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EINVAL}


@dataclass(frozen=True)
class LocalStore(Store):
    """Objects as files below `root`, an absolute path."""

    root: Path

    @property
    def uri(self) -> str:
        return str(self.root)

    def check(self, write: bool = True) -> None:
        try:
            if not write and not self.root.exists():
                raise BadInput(f"{self.root}: no such folder; give the folder of an artifact")
            nearest = next(p for p in (self.root, *self.root.parents) if p.exists())
            if not nearest.is_dir():
                raise BadInput(f"{self.root}: {nearest} is a file, not a folder; choose another location")
        except OSError as error:
            raise BadInput(f"{self.uri[:200]}: {error.strerror}; choose another location") from None
        if not os.access(nearest, os.R_OK | os.X_OK | (os.W_OK if write else 0)):
            need = "writable" if write else "readable"
            raise BadInput(
                f"{self.root}: {nearest} is not {need} for this user; choose another location or mend its rights"
            )

    def put(self, key: str, data: Data) -> StoredObject:
        with self._temporary_file(key, data) as (temp, path):
            temp.replace(path)
        return StoredObject(key, len(data), sha256(data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self._temporary_file(key, data) as (temp, path):
            if _link_new(temp, path):
                return True
        return self.read_back(key).sha256 == sha256(data)

    def get(self, key: str) -> bytes:
        with self._read_errors(key):
            return self._path(key).read_bytes()

    def read_back(self, key: str) -> StoredObject:
        with self._read_errors(key), self._path(key).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return StoredObject(key, file.tell(), digest)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def list(self, prefix: str = "") -> Iterator[ListedObject]:
        for entry in self._walk(self.root / prefix.rpartition("/")[0]):
            key = Path(entry.path).relative_to(self.root).as_posix()
            if key.startswith(prefix) and not entry.name.startswith(TEMP_PREFIX):
                with contextlib.suppress(FileNotFoundError):  # deleted since the folder was read
                    yield ListedObject(key, entry.stat().st_size)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            with self._write_errors(key):
                path.unlink(missing_ok=True)
            for folder in itertools.takewhile(lambda p: p != self.root, path.parents):
                try:
                    folder.rmdir()  # an empty class folder would break ImageFolder
                except OSError:
                    break

    def tidy(self) -> None:
        for entry in self._walk(self.root):
            if entry.name.startswith(TEMP_PREFIX) and _writer_is_gone(Path(entry.path)):
                Path(entry.path).unlink(missing_ok=True)

    def open(self, key: str) -> "pa.NativeFile":
        import pyarrow as pa

        with self._read_errors(key):
            return pa.OSFile(str(self._path(key)))

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    @contextlib.contextmanager
    def _temporary_file(self, key: str, data: Data) -> Iterator[tuple[Path, Path]]:
        """The data in a temporary file beside its destination; the temporary name is gone afterwards."""
        path = self._path(key)
        temp = path.with_name(f"{TEMP_PREFIX}{socket.gethostname()}-{os.getpid()}-{next(_counter)}")
        with self._write_errors(key):
            try:
                _write_durably(temp, data)
                yield temp, path
            finally:
                temp.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _read_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise KeyError(key) from None
        except OSError as error:
            raise StoreError(f"{self.root}: {key} cannot be read: {error.strerror}") from error

    @contextlib.contextmanager
    def _write_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if full := disk_full(error, self.root):
                raise full from error
            raise StoreError(f"{self.root}: {key} cannot be written: {error.strerror}") from error

    def _walk(self, top: Path) -> Iterator[os.DirEntry[str]]:
        folders = [top]
        while folders:
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir():
                            folders.append(Path(entry.path))
                        else:
                            yield entry
            except (FileNotFoundError, NotADirectoryError):  # no artifact yet, or removed meanwhile
                continue
            except OSError as error:
                raise StoreError(f"{self.root}: cannot be listed: {error.strerror}") from error


def _write_durably(temp: Path, data: Data) -> None:
    """The folder is made when it is missing, also when a deleting process has just removed it as empty.

    fsync, because a commit must not outlive its payload: after a power cut some filesystems keep the
    new name of a file that was not synced, with no content. (Its folder need not be synced: names reach the journal
    in order, so a commit that survived has its payload before it.)
    """
    for _ in range(10):
        try:
            descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            break
        except FileNotFoundError:
            temp.parent.mkdir(parents=True, exist_ok=True)
    else:
        raise FileNotFoundError(errno.ENOENT, "its folder keeps vanishing")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link_new(temp: Path, path: Path) -> bool:
    """Give the file its name if nothing has it. False if something has."""
    try:
        os.link(temp, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if path.exists():  # mounted drives without hard links: the last of two simultaneous writers wins
            return False
        temp.replace(path)
    return True


def _writer_is_gone(temp: Path) -> bool:
    """On this machine, whether its process has ended; on another, whether the file is an hour old."""
    host, pid, _ = temp.name.removeprefix(TEMP_PREFIX).rsplit("-", 2)
    if host == socket.gethostname() and pid.isdigit():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
    with contextlib.suppress(FileNotFoundError):
        return time.time() - temp.stat().st_mtime > 3600
    return True
