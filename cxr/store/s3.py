"""The store in an S3 bucket: single PUTs with SHA-256, conditional commits, keys from the usual AWS settings only.

What an endpoint cannot do is found out by one try (capabilities.py), and done without.
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
from cxr.store.base import Data, ListedObject, Store, StoredObject, check_key, sha256
from cxr.store.ranges import Ranges
from cxr.store.s3_client import connect, is_unsigned, retry_through_outage
from cxr.store.s3_errors import BAD_KEY_CODES, KEYS, OUTAGE_CODES, error_code, explain_error

if TYPE_CHECKING:
    import pyarrow as pa

_T = TypeVar("_T")
_CLIENT_ERRORS = (BotoCoreError, ClientError, ResponseParserError, OSError, RecursionError)
_EXISTS_CODES = ("412", "PreconditionFailed")
_ABSENT_CODES = ("NoSuchKey", "404")
_DELETE_THREADS = 16  # threads, where an endpoint deletes one object a request


@dataclass(frozen=True)
class S3Store(Store):
    """Objects below `prefix` (no slash at its ends, may be empty) in `bucket`."""

    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".removesuffix("/")

    def check(self, write: bool = True) -> None:
        """Lists one key, whose error distinguishes a missing bucket, refused keys and a silent endpoint."""
        try:
            client = connect(patient=False)
        except BadInput as error:
            raise BadInput(f"{self.uri}: {error}") from None
        if is_unsigned(client) and write:
            raise BadInput(f"{self.uri}: no keys; set {KEYS}: without, public buckets can be read, and no more")
        try:
            client.list_objects_v2(Bucket=self.bucket, Prefix=self._root, MaxKeys=1)
        except _CLIENT_ERRORS as error:
            raise BadInput(f"{self.uri}: {explain_error(error, self.bucket, client.meta.endpoint_url)}") from None
        if is_unsigned(client):
            note(f"{self.uri}: no AWS keys here, so it is read unsigned, as a public bucket")

    def put(self, key: str, data: Data) -> StoredObject:
        self._put(key, data)
        return StoredObject(key, len(data), sha256(data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """A refused condition may be our own earlier PUT whose answer was lost, so the content decides."""
        if self._is_able("conditional") is None and self._probe_by_writing(key, data):
            return self._has_content(key, data)
        if self._is_able("conditional"):
            return self._put_if_new(key, data) or self._has_content(key, data)
        if not self.exists(key):
            self._put(key, data)
        return self._has_content(key, data)

    def get(self, key: str) -> bytes:
        return self._read(key, lambda body: body.read())

    def read_back(self, key: str) -> StoredObject:
        return StoredObject(key, *self._read(key, _digest))

    def exists(self, key: str) -> bool:
        with self._client() as client:
            try:
                retry_through_outage(lambda: client.head_object(**self._object(key)))
            except ClientError as error:
                if error_code(error) != "404":
                    raise
                return False
        return True

    def list(self, prefix: str = "") -> Iterator[ListedObject]:
        place = {"Bucket": self.bucket, "Prefix": self._root + prefix}
        while True:
            with self._client() as client:
                page = retry_through_outage(lambda: client.list_objects_v2(**place))  # noqa: B023 - called before place changes
            for found in page.get("Contents", ()):
                if key := found["Key"].removeprefix(self._root):  # consoles make an object for the folder itself
                    yield ListedObject(key, found["Size"])
            more = page.get("NextContinuationToken")
            if not more:
                return
            place = place | {"ContinuationToken": more}

    def delete(self, keys: Iterable[str]) -> None:
        names = ({"Key": self._root + check_key(key)} for key in keys)
        while some := list(islice(names, 1000)):
            if self._is_able("multi_delete") is False or not self._delete_many(some):
                self._delete_each(some)

    def tidy(self) -> None:
        """Nothing to do: a single PUT that is broken off leaves nothing."""

    def open(self, key: str) -> "pa.NativeFile":
        import pyarrow as pa

        with self._client() as client:
            try:
                size = retry_through_outage(lambda: client.head_object(**self._object(key)))["ContentLength"]
            except ClientError as error:
                if error_code(error) not in _ABSENT_CODES:
                    raise
                raise KeyError(key) from None
        return pa.PythonFile(Ranges(lambda start, count: self._get_range(key, start, count), size), mode="r")

    @property
    def _root(self) -> str:
        return f"{self.prefix}/" if self.prefix else ""

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._root + check_key(key)}

    def _is_able(self, what: str) -> bool | None:
        return capabilities.lookup(connect().meta.endpoint_url, self.bucket, what)

    def _save_ability(self, what: str, able: bool) -> None:
        capabilities.save(connect().meta.endpoint_url, self.bucket, what, able)

    def _put(self, key: str, data: Data, **condition: str) -> None:
        """With the SHA-256; where the endpoint is known to refuse that (Backblaze B2), with the MD5.

        Both checksum arguments: with the value alone a newer gateway accepted a wrong one.
        """
        place, able = self._object(key) | condition, self._is_able("checksums")
        with self._client() as client:
            if is_unsigned(client):
                raise StoreError(f"{self.uri}: no keys on this machine; set {KEYS} there too")

            def send(**hashes: str) -> None:
                retry_through_outage(lambda: client.put_object(**place, Body=data, **hashes))

            def send_with_md5() -> None:
                send(ContentMD5=_base64(hashlib.md5(data, usedforsecurity=False)))

            if able is False:
                send_with_md5()
                return
            try:
                send(ChecksumAlgorithm="SHA256", ChecksumSHA256=_base64(hashlib.sha256(data)))
                if able is None:
                    self._save_ability("checksums", True)
            except ClientError as refusal:
                if able or error_code(refusal) in (*_EXISTS_CODES, *OUTAGE_CODES):
                    raise
                self._probe_without_checksums(refusal, send_with_md5)

    def _probe_without_checksums(self, refusal: ClientError, send: Callable[[], None]) -> None:
        """Raises the refusal if it was not the checksum's, so that without one the PUT is refused as well."""
        try:
            send()
        except ClientError as error:
            if error_code(error) not in _EXISTS_CODES:
                raise refusal from None
            self._save_ability("checksums", False)
            raise
        self._save_ability("checksums", False)

    def _put_if_new(self, key: str, data: bytes) -> bool:
        """True if the PUT was accepted, False if the object exists."""
        try:
            self._put(key, data, IfNoneMatch="*")
        except StoreError as error:
            if error_code(error.__cause__) not in _EXISTS_CODES:
                raise
            return False
        return True

    def _probe_by_writing(self, key: str, data: bytes) -> bool:
        """Find out whether conditions are honoured by making this very PUT twice; False if another process has done so.

        The second of two conditional PUTs of one key must be refused.
        """
        with capabilities.probe_lock(connect().meta.endpoint_url, self.bucket):
            if self._is_able("conditional") is not None:
                return False
            if not self.exists(key):
                self._save_ability("conditional", self._probe_second_write(key, data))
        return True

    def _probe_second_write(self, key: str, data: bytes) -> bool:
        """Whether it does; an endpoint that takes no condition at all, but the object without, does not."""
        try:
            return not self._put_if_new(key, data) or not self._put_if_new(key, data)
        except StoreError as error:
            if error_code(error.__cause__) in ("", *BAD_KEY_CODES, *OUTAGE_CODES):
                raise
            self._put(key, data)
            return False

    def _delete_many(self, some: Sequence[dict[str, str]]) -> bool:
        """False if the endpoint takes no request to delete many (Google's); the first object is then deleted alone."""
        with self._client() as client:
            try:
                answer = retry_through_outage(
                    lambda: client.delete_objects(Bucket=self.bucket, Delete={"Objects": some, "Quiet": True})
                )
            except ClientError as error:
                if self._is_able("multi_delete") or error_code(error) in OUTAGE_CODES:
                    raise
                try:
                    self._delete_one(some[0])
                except StoreError:
                    raise error from None
                self._save_ability("multi_delete", False)
                return False
        for failed in answer.get("Errors", ()):
            if failed.get("Code") not in _ABSENT_CODES:
                raise StoreError(f"{self.uri}: {failed['Key']} cannot be deleted ({failed.get('Code')})")
        if self._is_able("multi_delete") is None:
            self._save_ability("multi_delete", True)
        return True

    def _delete_each(self, some: Sequence[dict[str, str]]) -> None:
        with ThreadPoolExecutor(_DELETE_THREADS) as threads:
            for _ in threads.map(self._delete_one, some):
                pass

    def _delete_one(self, name: dict[str, str]) -> None:
        with self._client() as client:
            try:
                retry_through_outage(lambda: client.delete_object(Bucket=self.bucket, **name))
            except ClientError as error:
                if error_code(error) not in _ABSENT_CODES:  # Google's answer for an object that is gone already
                    raise

    def _has_content(self, key: str, data: bytes) -> bool:
        try:
            return self.read_back(key).sha256 == sha256(data)
        except KeyError:  # deleted meanwhile: it was not ours
            return False

    def _read(self, key: str, consume: Callable[[Any], _T]) -> _T:
        """What `consume` returns for the object's body; a body that breaks off is read again from its start."""
        with self._client() as client:
            try:
                return retry_through_outage(lambda: consume(client.get_object(**self._object(key))["Body"]))
            except ClientError as error:
                if error_code(error) not in _ABSENT_CODES:
                    raise
                raise KeyError(key) from None

    def _get_range(self, key: str, start: int, count: int) -> bytes:
        wanted = self._object(key) | {"Range": f"bytes={start}-{start + count - 1}"}
        with self._client() as client:
            return retry_through_outage(lambda: client.get_object(**wanted)["Body"].read())

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        """This process's client; its errors become one line."""
        client = connect()
        try:
            yield client
        except _CLIENT_ERRORS as error:
            why = explain_error(error, self.bucket, client.meta.endpoint_url)
            raise StoreError(f"{self.uri}: {why}") from error


def _base64(whole: Any) -> str:
    return base64.b64encode(whole.digest()).decode()


def _digest(body: Any) -> tuple[int, str]:
    size, whole = 0, hashlib.sha256()
    for piece in body.iter_chunks(1 << 20):
        size += len(piece)
        whole.update(piece)
    return size, whole.hexdigest()
