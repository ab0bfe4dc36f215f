"""The store in an S3 bucket: single PUTs with SHA-256, conditional commits, keys from the usual AWS settings only.

What an endpoint cannot do is learned by asking once (capabilities.py), and done without.
"""

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from cxr.errors import BadInput, StoreError
from cxr.progress import note
from cxr.store import capabilities
from cxr.store.base import Data, Listed, Store, Stored, check_key, sha256
from cxr.store.ranges import Ranges
from cxr.store.s3_client import connect, is_unsigned, outlast
from cxr.store.s3_errors import BAD_KEYS, KEYS, OUTAGE_CODES, code_of, explain

if TYPE_CHECKING:
    import pyarrow as pa

_T = TypeVar("_T")
_TROUBLE = (BotoCoreError, ClientError, ResponseParserError, OSError, RecursionError)
_EXISTS = ("412", "PreconditionFailed")
_ABSENT = ("NoSuchKey", "404")
_DELETING = 16  # threads, where an endpoint deletes one object a request


@dataclass(frozen=True)
class S3Store(Store):
    """Objects below `prefix` (no slash at its ends, may be empty) in `bucket`."""

    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".removesuffix("/")

    def check(self, write: bool = True) -> None:
        """Lists one key, which tells a missing bucket, refused keys and a silent endpoint apart."""
        try:
            client = connect(patient=False)
        except BadInput as error:
            raise BadInput(f"{self.uri}: {error}") from None
        if is_unsigned(client) and write:
            raise BadInput(f"{self.uri}: no keys; set {KEYS}: without, public buckets can be read, and no more")
        try:
            client.list_objects_v2(Bucket=self.bucket, Prefix=self._root, MaxKeys=1)
        except _TROUBLE as error:
            raise BadInput(f"{self.uri}: {explain(error, self.bucket, client.meta.endpoint_url)}") from None
        if is_unsigned(client):
            note(f"{self.uri}: no AWS keys here, so it is read unsigned, as a public bucket")

    def put(self, key: str, data: Data) -> Stored:
        self._put(key, data)
        return Stored(key, len(data), sha256(data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """A refused condition may be our own earlier PUT whose answer was lost, so the content decides."""
        if self._can("conditional") is None and self._written_by_asking(key, data):
            return self._holds(key, data)
        if self._can("conditional"):
            return self._put_new(key, data) or self._holds(key, data)
        if not self.exists(key):
            self._put(key, data)
        return self._holds(key, data)

    def get(self, key: str) -> bytes:
        return self._read(key, lambda body: body.read())

    def read_back(self, key: str) -> Stored:
        return Stored(key, *self._read(key, _digest))

    def exists(self, key: str) -> bool:
        with self._told() as client:
            try:
                outlast(lambda: client.head_object(**self._object(key)))
            except ClientError as error:
                if code_of(error) != "404":
                    raise
                return False
        return True

    def list(self, prefix: str = "") -> Iterator[Listed]:
        place = {"Bucket": self.bucket, "Prefix": self._root + prefix}
        while True:
            with self._told() as client:
                page = outlast(lambda: client.list_objects_v2(**place))  # noqa: B023 - called before place changes
            for found in page.get("Contents", ()):
                if key := found["Key"].removeprefix(self._root):  # consoles make an object for the folder itself
                    yield Listed(key, found["Size"])
            more = page.get("NextContinuationToken")
            if not more:
                return
            place = place | {"ContinuationToken": more}

    def delete(self, keys: Iterable[str]) -> None:
        names = ({"Key": self._root + check_key(key)} for key in keys)
        while some := list(islice(names, 1000)):
            if self._can("multi_delete") is False or not self._deleted_together(some):
                self._delete_each(some)

    def tidy(self) -> None:
        """Nothing to do: a single PUT that is broken off leaves nothing."""

    def open(self, key: str) -> "pa.NativeFile":
        import pyarrow as pa

        with self._told() as client:
            try:
                size = outlast(lambda: client.head_object(**self._object(key)))["ContentLength"]
            except ClientError as error:
                if code_of(error) not in _ABSENT:
                    raise
                raise KeyError(key) from None
        return pa.PythonFile(Ranges(lambda start, count: self._range(key, start, count), size), mode="r")

    @property
    def _root(self) -> str:
        return f"{self.prefix}/" if self.prefix else ""

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._root + check_key(key)}

    def _can(self, what: str) -> bool | None:
        return capabilities.recall(connect().meta.endpoint_url, self.bucket, what)

    def _learn(self, what: str, able: bool) -> None:
        capabilities.remember(connect().meta.endpoint_url, self.bucket, what, able)

    def _put(self, key: str, data: Data, **condition: str) -> None:
        """With the SHA-256; where the endpoint is known to refuse that (Backblaze B2), with the MD5.

        Both checksum arguments: with the value alone a newer gateway accepted a wrong one.
        """
        place, able = self._object(key) | condition, self._can("checksums")
        with self._told() as client:
            if is_unsigned(client):
                raise StoreError(f"{self.uri}: no keys on this machine; set {KEYS} there too")

            def send(**hashes: str) -> None:
                outlast(lambda: client.put_object(**place, Body=data, **hashes))

            def send_with_md5() -> None:
                send(ContentMD5=_base64(hashlib.md5(data, usedforsecurity=False)))

            if able is False:
                send_with_md5()
                return
            try:
                send(ChecksumAlgorithm="SHA256", ChecksumSHA256=_base64(hashlib.sha256(data)))
                if able is None:
                    self._learn("checksums", True)
            except ClientError as refusal:
                if able or code_of(refusal) in (*_EXISTS, *OUTAGE_CODES):
                    raise
                self._learn_without_checksums(refusal, send_with_md5)

    def _learn_without_checksums(self, refusal: ClientError, send: Callable[[], None]) -> None:
        """Raises the refusal if it was not the checksum's, so that without one the PUT is refused as well."""
        try:
            send()
        except ClientError as error:
            if code_of(error) not in _EXISTS:
                raise refusal from None
            self._learn("checksums", False)
            raise
        self._learn("checksums", False)

    def _put_new(self, key: str, data: bytes) -> bool:
        """True if the PUT was accepted, False if the endpoint says that the object exists."""
        try:
            self._put(key, data, IfNoneMatch="*")
        except StoreError as error:
            if code_of(error.__cause__) not in _EXISTS:
                raise
            return False
        return True

    def _written_by_asking(self, key: str, data: bytes) -> bool:
        """Learn whether conditions are honoured by making this very PUT twice; False if another process has learned it.

        The second of two conditional PUTs of one key must be refused.
        """
        with capabilities.asking(connect().meta.endpoint_url, self.bucket):
            if self._can("conditional") is not None:
                return False
            if not self.exists(key):
                self._learn("conditional", self._refuses_second(key, data))
        return True

    def _refuses_second(self, key: str, data: bytes) -> bool:
        """Whether it does; an endpoint that takes no condition at all, but the object without, does not."""
        try:
            return not self._put_new(key, data) or not self._put_new(key, data)
        except StoreError as error:
            if code_of(error.__cause__) in ("", *BAD_KEYS, *OUTAGE_CODES):
                raise
            self._put(key, data)
            return False

    def _deleted_together(self, some: Sequence[dict[str, str]]) -> bool:
        """False if the endpoint takes no request to delete many (Google's S3 door); it then deletes the first alone."""
        with self._told() as client:
            try:
                answer = outlast(
                    lambda: client.delete_objects(Bucket=self.bucket, Delete={"Objects": some, "Quiet": True})
                )
            except ClientError as error:
                if self._can("multi_delete") or code_of(error) in OUTAGE_CODES:
                    raise
                try:
                    self._delete_one(some[0])
                except StoreError:
                    raise error from None
                self._learn("multi_delete", False)
                return False
        for failed in answer.get("Errors", ()):
            if failed.get("Code") not in _ABSENT:
                raise StoreError(f"{self.uri}: {failed['Key']} cannot be deleted ({failed.get('Code')})")
        if self._can("multi_delete") is None:
            self._learn("multi_delete", True)
        return True

    def _delete_each(self, some: Sequence[dict[str, str]]) -> None:
        with ThreadPoolExecutor(_DELETING) as threads:
            for _ in threads.map(self._delete_one, some):
                pass

    def _delete_one(self, name: dict[str, str]) -> None:
        with self._told() as client:
            try:
                outlast(lambda: client.delete_object(Bucket=self.bucket, **name))
            except ClientError as error:
                if code_of(error) not in _ABSENT:  # Google's says so of what is gone already
                    raise

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.read_back(key).sha256 == sha256(data)
        except KeyError:  # deleted meanwhile: it was not ours
            return False

    def _read(self, key: str, consume: Callable[[Any], _T]) -> _T:
        """What `consume` makes of the object's body; a body that breaks off is read again from its start."""
        with self._told() as client:
            try:
                return outlast(lambda: consume(client.get_object(**self._object(key))["Body"]))
            except ClientError as error:
                if code_of(error) not in _ABSENT:
                    raise
                raise KeyError(key) from None

    def _range(self, key: str, start: int, count: int) -> bytes:
        wanted = self._object(key) | {"Range": f"bytes={start}-{start + count - 1}"}
        with self._told() as client:
            return outlast(lambda: client.get_object(**wanted)["Body"].read())

    @contextlib.contextmanager
    def _told(self) -> Iterator[Any]:
        """This process's client; its errors become one line."""
        client = connect()
        try:
            yield client
        except _TROUBLE as error:
            why = explain(error, self.bucket, client.meta.endpoint_url)
            raise StoreError(f"{self.uri}: {why}") from error


def _base64(whole: Any) -> str:
    return base64.b64encode(whole.digest()).decode()


def _digest(body: Any) -> tuple[int, str]:
    size, whole = 0, hashlib.sha256()
    for piece in body.iter_chunks(1 << 20):
        size += len(piece)
        whole.update(piece)
    return size, whole.hexdigest()
