"""From a URI to a store."""

from pathlib import Path

import pytest

from cxr.errors import BadInput
from cxr.store import open_store


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-1/a/b c/", "my.bucket-1", "a/b c"),
    ],
)
def test_s3(uri, bucket, prefix):
    store = open_store(uri)
    assert (store.bucket, store.prefix) == (bucket, prefix)
    assert open_store(store.uri) == store


def test_a_relative_path_is_the_same_place_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_store("a/../runs/x")
    monkeypatch.chdir("/")
    assert store.uri == str(tmp_path / "runs" / "x")
    assert not list(tmp_path.iterdir())
    assert open_store("~/x").uri == str(Path.home() / "x")


@pytest.mark.parametrize(
    "uri",
    ["", " ", "a\0b", "s3://", "s3:///key", "s3:/bucket/x", "S3://bucket/x", "gs://bucket/x", "https://host/x", "file:///x",
     "s3://bucket//x", "s3://bucket/../x", "s3://b", "s3://buc ket/x", "s3://bucket:9000/x"],
)  # fmt: skip
def test_what_is_no_location_is_refused(uri):
    with pytest.raises(BadInput, match=r"s3://bucket/prefix|object key"):
        open_store(uri)


def test_keys_in_a_location_are_refused_and_not_shown():
    with pytest.raises(BadInput) as caught:
        open_store("s3://AKIA:canarysecret@bucket/x")
    assert "canarysecret" not in str(caught.value) and "AKIA" not in str(caught.value)
