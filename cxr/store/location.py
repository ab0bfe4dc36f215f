"""From a location, as a user gives it to --out, to a store."""

import os
import re
from pathlib import Path

from cxr.errors import BadInput
from cxr.store.base import Store, check_key
from cxr.store.local import LocalStore

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}")


def open_store(uri: str) -> Store:
    """The store at a local path or `s3://bucket/prefix`; touches nothing. `BadInput` if it can be neither."""
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return _open_local(uri)
    if not uri.startswith("s3://"):
        raise BadInput(f"{_shown(uri)}: not a location; give a local path or s3://bucket/prefix")
    return _open_s3(uri)


def _open_local(uri: str) -> LocalStore:
    if not uri.strip() or "\0" in uri:
        raise BadInput(f"{uri!r}: not a location; give a local path or s3://bucket/prefix")
    return LocalStore(Path(os.path.abspath(Path(uri).expanduser())))  # noqa: PTH100 - resolves .. without the disk


def _open_s3(uri: str) -> Store:
    from cxr.store.s3 import S3Store

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    prefix = prefix.removesuffix("/")
    if not _BUCKET.fullmatch(bucket):
        raise BadInput(f"{_shown(uri)}: no valid bucket name after s3://; give s3://bucket/prefix")
    try:
        return S3Store(bucket, check_key(prefix) if prefix else "")
    except BadInput as error:
        raise BadInput(f"{_shown(uri)}: {error}") from None


def _shown(uri: str) -> str:
    """The location without what may be a key and secret before an @."""
    return repr(re.sub(r"//[^@]*@", "//...@", uri)[:200])
