"""The store in an S3 bucket: single PUTs with SHA-256, conditional commits, keys from the usual AWS settings only."""

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from cxr.errors import BadInput, StoreError
from cxr.store import conditions
from cxr.store.base import Listed, Store, Stored, check_key, sha256
from cxr.store.s3_client import code_of, connect, explain, outlast, session_keys

if TYPE_CHECKING:
    import pyarrow.fs

_T = TypeVar("_T")


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
        try:
            client.list_objects_v2(Bucket=self.bucket, Prefix=self._root, MaxKeys=1)
        except (BotoCoreError, ClientError) as error:
            raise BadInput(f"{self.uri}: {explain(error, self.bucket, client.meta.endpoint_url)}") from None

    def put(self, key: str, data: bytes) -> Stored:
        self._put(key, data)
        return Stored(key, len(data), sha256(data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """A refused condition may be our own earlier PUT whose answer was lost, so the content decides."""
        place = connect().meta.endpoint_url, self.bucket
        if conditions.recall(*place) is None and self._written_by_asking(key, data):
            return self._holds(key, data)
        if conditions.recall(*place):
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
        while place:
            with self._told() as client:
                page = outlast(lambda: client.list_objects_v2(**place))  # noqa: B023 - called before place changes
            for found in page.get("Contents", ()):
                if key := found["Key"].removeprefix(self._root):  # consoles make an object for the folder itself
                    yield Listed(key, found["Size"])
            more = page.get("NextContinuationToken")
            place = place | {"ContinuationToken": more} if more else None

    def delete(self, keys: Iterable[str]) -> None:
        names = ({"Key": self._root + check_key(key)} for key in keys)
        while some := list(islice(names, 1000)):
            with self._told() as client:
                wanted = {"Objects": some, "Quiet": True}
                answer = outlast(lambda: client.delete_objects(Bucket=self.bucket, Delete=wanted))  # noqa: B023
            for failed in answer.get("Errors", ()):
                raise StoreError(f"{self.uri}: {failed['Key']} cannot be deleted ({failed.get('Code')})")

    def tidy(self) -> None:
        """Nothing to do: a single PUT that is broken off leaves nothing."""

    def arrow(self) -> "tuple[pyarrow.fs.FileSystem, str]":
        from pyarrow.fs import S3FileSystem

        with self._told() as client:
            endpoint = urlsplit(client.meta.endpoint_url)
            settings = session_keys() | {"region": client.meta.region_name, "connect_timeout": 5, "request_timeout": 60}
        if not endpoint.netloc.endswith("amazonaws.com"):  # arrow itself ignores AWS_ENDPOINT_URL_S3 (arrow#49643)
            settings |= {"scheme": endpoint.scheme, "endpoint_override": endpoint.netloc}
        return S3FileSystem(**settings), f"{self.bucket}/{self.prefix}".removesuffix("/")

    @property
    def _root(self) -> str:
        return f"{self.prefix}/" if self.prefix else ""

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._root + check_key(key)}

    def _put(self, key: str, data: bytes, **condition: str) -> None:
        """Both checksum arguments: with the value alone a newer gateway accepted a wrong one."""
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        checked = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": checksum}
        with self._told() as client:
            outlast(lambda: client.put_object(**self._object(key), Body=data, **checked, **condition))

    def _put_new(self, key: str, data: bytes) -> bool:
        """True if the PUT was accepted, False if the endpoint says that the object exists."""
        try:
            self._put(key, data, IfNoneMatch="*")
        except StoreError as error:
            if code_of(error.__cause__) not in ("412", "PreconditionFailed"):
                raise
            return False
        return True

    def _written_by_asking(self, key: str, data: bytes) -> bool:
        """Learn whether conditions are honoured by making this very PUT twice; False if another process has learned it.

        The second of two conditional PUTs of one key must be refused.
        """
        place = connect().meta.endpoint_url, self.bucket
        with conditions.asking(*place):
            if conditions.recall(*place) is not None:
                return False
            if not self.exists(key):
                conditions.remember(*place, self._refuses_second(key, data))
        return True

    def _refuses_second(self, key: str, data: bytes) -> bool:
        try:
            return not self._put_new(key, data) or not self._put_new(key, data)
        except StoreError as error:
            if code_of(error.__cause__) not in ("NotImplemented", "501"):
                raise
            self._put(key, data)
            return False

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
                if code_of(error) not in ("NoSuchKey", "404"):
                    raise
                raise KeyError(key) from None

    @contextlib.contextmanager
    def _told(self) -> Iterator[Any]:
        """This process's client; its errors become one line."""
        client = connect()
        try:
            yield client
        except (BotoCoreError, ClientError) as error:
            why = explain(error, self.bucket, client.meta.endpoint_url)
            raise StoreError(f"{self.uri}: {why}") from error


def _digest(body: Any) -> tuple[int, str]:
    size, whole = 0, hashlib.sha256()
    for piece in body.iter_chunks(1 << 20):
        size += len(piece)
        whole.update(piece)
    return size, whole.hexdigest()
