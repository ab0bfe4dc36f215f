"""A tiny S3 endpoint on loopback that can misbehave, for what a healthy server never does."""

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cxr.store import capabilities, s3_client

SECRET = "canarysecret-do-not-print"


class FakeS3(ThreadingHTTPServer):
    """Keeps objects in memory. `faults` are used up one a request: an error code, "lose answer" or "cut body"."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.honours_conditions = True
        self.manners: set[str] = set()  # "no checksums" as Backblaze B2, "no multi-delete" as Google's, "no conditions"
        self.page = b""  # with what it answers where it is no S3 at all
        self.below = ""  # the path of the endpoint: nothing is served beside it
        self.clock = 0  # seconds that its answers' dates are ahead
        self.faults: list[str] = []
        self.always: str = ""
        self.log: list[tuple[str, dict[str, str]]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{self.below}"

    def puts(self) -> int:
        return sum(verb == "PUT" for verb, _ in self.log)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    statuses = {  # noqa: RUF012
        "SlowDown": 503,
        "ConditionalRequestConflict": 409,
        "NotImplemented": 501,
        "NoSuchKey": 404,
        "NoSuchBucket": 404,
        "AuthorizationHeaderMalformed": 400,
        "PermanentRedirect": 301,
    }
    server: FakeS3

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self._begin()
        if fault not in ("", "lose answer"):
            return self._refuse(fault)
        if hashlib.sha256(body).hexdigest() != self.headers["x-amz-content-sha256"]:
            return self._refuse("XAmzContentSHA256Mismatch")
        if self.server.honours_conditions and "If-None-Match" in self.headers and self.path in self.server.objects:
            return self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        self.server.objects[self.path] = body
        if fault == "lose answer":
            self.close_connection = True
            return None
        return self._answer(200, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if fault := self._begin():
            return self._refuse(fault)
        bucket = self.path.partition("?")[0]
        for key in re.findall(rb"<Key>(.*?)</Key>", body):
            self.server.objects.pop(f"{bucket}/{key.decode()}", None)
        return self._answer(200, b"<DeleteResult></DeleteResult>")

    def do_DELETE(self) -> None:
        if fault := self._begin():
            return self._refuse(fault)
        gone = self.server.objects.pop(self.path, None) is None and "no multi-delete" in self.server.manners
        return self._refuse("NoSuchKey") if gone else self._answer(204, b"")

    def do_GET(self) -> None:
        fault = self._begin()
        if self.server.page:
            return self._answer(200, self.server.page)
        if "list-type=2" in self.path and not fault:
            return self._answer(200, b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>")
        if fault not in ("", "cut body"):
            return self._refuse(fault)
        if self.path not in self.server.objects:
            return self._refuse("NoSuchKey")
        data, status = self.server.objects[self.path], 200
        if asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            data, status = data[int(asked[1]) : int(asked[2]) + 1], 206
        return self._answer(status, data, cut=fault == "cut body")

    do_HEAD = do_GET

    def _begin(self) -> str:
        self.server.log.append((self.command, {name.lower(): value for name, value in self.headers.items()}))
        return self.server.faults.pop(0) if self.server.faults else self.server.always or self._manners()

    def _manners(self) -> str:
        checked = any(name.lower().startswith(("x-amz-checksum", "x-amz-sdk-checksum")) for name in self.headers)
        if not self.path.startswith(self.server.below + "/bucket"):
            return "NoSuchBucket"
        if "no checksums" in self.server.manners and checked:
            return "InvalidArgument"
        if "no conditions" in self.server.manners and "If-None-Match" in self.headers:
            return "NotImplemented"
        return "NotImplemented" if "no multi-delete" in self.server.manners and self.command == "POST" else ""

    def _refuse(self, code: str) -> None:
        self._answer(self.statuses.get(code, 403), f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode())

    def _answer(self, status: int, body: bytes, cut: bool = False) -> None:
        self.send_response_only(status)
        self.send_header("Date", formatdate(time.time() + self.server.clock, usegmt=True))
        self.send_header("Content-Type", "text/html" if self.server.page else "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection |= cut

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[pytest.MonkeyPatch]:
    """An environment with no AWS setting of the machine's, and nothing learned about endpoints."""
    for name in [n for n in os.environ if n.startswith("AWS_") or n.upper().endswith(("_PROXY", "_BUNDLE"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _forget()
    yield monkeypatch
    _forget()


@pytest.fixture
def fake(aws: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    server = FakeS3()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    aws.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    aws.setenv("AWS_ACCESS_KEY_ID", "key")
    aws.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    sleep = time.sleep
    aws.setattr(time, "sleep", lambda seconds: sleep(seconds / 100))  # before a request is tried again
    yield server
    server.shutdown()
    server.server_close()


def _forget() -> None:
    capabilities._known.clear()
    capabilities._warn_once.cache_clear()
    s3_client.connect.cache_clear()
