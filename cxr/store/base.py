"""The interface of all stores, the rules for keys, and the digests that records and commits are compared by."""

import hashlib
import mmap
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cxr.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

TEMP_PREFIX = ".tmp-"  # of local files being written; no key may use it


Data = bytes | mmap.mmap  # what is written: an object, or a local file that is not read into memory


@dataclass(frozen=True)
class StoredObject:
    """An object as it was written or read back: size in bytes, sha256 in hex."""

    key: str
    size: int
    sha256: str


class ListedObject(NamedTuple):
    """One line of a listing: the key below the store's root and the size in bytes."""

    key: str
    size: int


class Store(ABC):
    """A place for artifacts: keys are relative paths with `/`, values are bytes.

    It pickles without any key or secret; a process opens its own connections when it first needs them. Writes are
    atomic and idempotent. Trouble with the storage is a `StoreError`, a key that no store may hold is a `BadInput`.
    """

    @property
    @abstractmethod
    def uri(self) -> str:
        """The location as a user can give it again."""

    @abstractmethod
    def check(self, write: bool = True) -> None:
        """Raise `BadInput` (one line) if the place cannot be used; writes nothing, returns within seconds.

        With `write=False` it only has to be readable, and a local folder has to exist.
        """

    @abstractmethod
    def put(self, key: str, data: Data) -> StoredObject:
        """Write the object whole, over whatever was there."""

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the object if there is none; True if it is there with our content, False if with other content.

        True covers our own earlier write whose acknowledgement was lost. Of several writers with different
        contents one gets True.
        """

    @abstractmethod
    def get(self, key: str) -> bytes:
        """The whole object; `KeyError` if absent."""

    @abstractmethod
    def read_back(self, key: str) -> StoredObject:
        """Size and sha256 of what is stored now, read in pieces; `KeyError` if absent."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether there is an object of exactly this key."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ListedObject]:
        """Every object whose key starts with `prefix`, in no order, streaming; nothing if the place does not exist."""

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Remove the objects; absent ones are no error."""

    @abstractmethod
    def tidy(self) -> None:
        """Remove temporary files of killed writers (never an object)."""

    @abstractmethod
    def open(self, key: str) -> "pa.NativeFile":
        """The object for pyarrow, to read Parquet by column and row group; `KeyError` if absent."""


def check_key(key: str) -> str:
    """The key itself, if every store can hold it and it cannot leave the root; else `BadInput`."""
    parts = key.split("/")
    wrong = (
        "is empty or has an empty part" if "" in parts
        else "has a '.' or '..' part" if {".", ".."} & set(parts)
        else "has a backslash or a control character" if "\\" in key or any(ord(c) < 32 or ord(c) == 127 for c in key)
        else f"has a part that starts with {TEMP_PREFIX}" if any(p.startswith(TEMP_PREFIX) for p in parts)
        else _length_trouble(key, parts)
    )  # fmt: skip
    if wrong:
        raise BadInput(f"object key {key[:100]!r} {wrong}; use plain relative names separated by /")
    return key


def _length_trouble(key: str, parts: list[str]) -> str | None:
    try:
        if len(key.encode()) > 900:  # S3 ends at 1,024 bytes, the store's prefix included
            return "is longer than 900 bytes"
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return "has a part longer than 200 bytes" if any(len(p.encode()) > 200 for p in parts) else None


def sha256(data: Data) -> str:
    """The sha256 of the bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_of(pairs: Iterable[tuple[str, str]]) -> str:
    """One sha256 over (key, sha256) pairs in any order: that of the sorted lines `key sha256\\n`."""
    return digest_lines(sorted(f"{key} {digest}\n" for key, digest in pairs))


def digest_lines(lines: Iterable[str]) -> str:
    """One sha256 over lines as they come, none of which needs to stay in memory."""
    whole = hashlib.sha256()
    for line in lines:
        whole.update(line.encode())
    return whole.hexdigest()
