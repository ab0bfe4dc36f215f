"""What unit tests share: an S3 API in this process."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from cxr.store.s3_client import connect


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 server with the one empty bucket `bucket`, and this process's environment set to use it."""
    for name, value in {
        "ENDPOINT_URL_S3": moto_endpoint,
        "DEFAULT_REGION": "us-east-1",
        "ACCESS_KEY_ID": "ACCESSKEY0",
        "SECRET_ACCESS_KEY": "canarysecret-do-not-print",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    connect.cache_clear()  # the process may still hold a client of another test's server
    yield client
    connect.cache_clear()
    for found in client.list_objects_v2(Bucket="bucket").get("Contents", ()):
        client.delete_object(Bucket="bucket", Key=found["Key"])
