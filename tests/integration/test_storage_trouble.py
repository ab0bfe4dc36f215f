"""The generate job while its S3 server is in trouble: it finishes, or stops with one line and the same command goes on.

A gate stands before the real server. It passes on what it is sent, as it was signed for the gate's own address, but
for the requests that a test has trouble for. Readers look at the place all the time, past the gate.
"""

import contextlib
import http.client
import itertools
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

from cxr.artifact import read_record
from cxr.store import open_store
from tests.integration.conftest import S3Server
from tests.integration.test_nothing_lost import committed
from tests.integration.test_under_fire import Reader

pytestmark = pytest.mark.usefixtures("no_job_left_over")
STATUS = {"SlowDown": 503, "ExpiredToken": 403}
STALL_S = 5
RESET = struct.pack("ii", 1, 0)  # close() then sends a reset


class Gate(ThreadingHTTPServer):
    """`trouble(number, verb, path)` names what happens to a request, "" for nothing; `made` counts it."""

    daemon_threads = True

    def __init__(self, s3: S3Server) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.s3, self.numbers = s3, itertools.count()
        self.trouble: Callable[[int, str, str], str] = lambda number, verb, path: ""
        self.made: Counter[str] = Counter()

    def shutdown_request(self, request: socket.socket) -> None:
        """Closed at once: an orderly end would come before the reset."""
        request.close()

    @property
    def env(self) -> dict[str, str]:
        return self.s3.env | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.server_address[1]}"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        trouble = self.server.trouble(next(self.server.numbers), self.command, self.path)
        self.server.made[trouble] += 1
        if trouble in STATUS:
            told = f"<Error><Code>{trouble}</Code></Error>".encode()
            return self.answer(STATUS[trouble], {"Content-Length": str(len(told))}, told)
        if trouble == "reset":
            return self.reset()
        if trouble == "stall":
            time.sleep(STALL_S)
        if trouble == "forget the condition" and "If-None-Match" in self.headers:
            return self.put_anyway(body)
        answer = self.passed_on(body)
        return self.reset() if trouble == "lose the answer" else self.answer(*answer)

    do_GET = do_HEAD = do_POST = do_DELETE = do_PUT

    def passed_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """The real server's status, headers and body."""
        server = http.client.HTTPConnection(urlsplit(self.server.s3.endpoint).netloc, timeout=60)
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("expect", "connection"):
                server.putheader(name, value)
        server.endheaders(body)
        found = server.getresponse()
        data = found.read()
        server.close()
        own = ("transfer-encoding", "connection")
        told = {name: value for name, value in found.getheaders() if name.lower() not in own}
        return found.status, {"Content-Length": str(len(data))} | told, data

    def put_anyway(self, body: bytes) -> None:
        """As an endpoint does that knows no conditions: signed anew, because the client has signed the condition."""
        bucket, key = unquote(self.path).removeprefix("/").split("/", 1)
        self.server.s3.client().put_object(Bucket=bucket, Key=key, Body=body)
        self.answer(200, {"Content-Length": "0"}, b"")

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close_connection = True

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client did not wait
            super().handle()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def gate(s3: S3Server) -> Iterator[Gate]:
    made = Gate(s3)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@dataclass(frozen=True)
class Place:
    """Where a job writes to, with a reader looking on."""

    uri: str
    reader: Reader


@pytest.fixture
def place(s3: S3Server) -> Place:
    uri = f"s3://{s3.make_bucket()}/set"
    reader = Reader(uri)
    reader.start()
    return Place(uri, reader)


@pytest.fixture
def whole(small_set, contents) -> Callable[[Place], None]:
    """Checks that a place holds the undisturbed run's bytes, and that no reader ever saw anything else."""

    def check(place: Place) -> None:
        assert contents(place.uri) == contents(small_set)
        place.reader.join(60)
        assert place.reader.failure is None and not place.reader.is_alive()
        assert place.reader.seen.checked == 31 and place.reader.seen.missing == place.reader.seen.damaged == []

    return check


def stopped(done: subprocess.CompletedProcess[str], place: Place, why: str) -> None:
    """It stopped with one line that says why, and nothing is finished."""
    assert done.returncode == 2 and not done.stdout, done.stderr
    assert (
        done.stderr.splitlines()[-1].startswith(f"generate.py: {place.uri}: ") and why in done.stderr.splitlines()[-1]
    )
    assert "Traceback" not in done.stderr
    assert 0 < len(committed(place.uri)) < 7 and read_record(open_store(place.uri)) is None


@pytest.mark.slow
def test_overload_resets_lost_answers_and_stalls_are_outlasted(jobs, small, gate, place, whole):
    def weather(number: int, verb: str, path: str) -> str:
        if number < 4 or number in (30, 60):
            return "stall" if number in (30, 60) else ""
        return "SlowDown" if number % 20 < 6 else {8: "reset", 12: "lose the answer"}.get(number % 20, "")

    gate.trouble = weather
    done = jobs.generate(place.uri, *small, "--workers", 2, env=gate.env)
    assert done.returncode == 0, done.stderr
    assert gate.made["stall"] == 2 and gate.made["SlowDown"] > 20
    assert gate.made["reset"] > 3 and gate.made["lose the answer"] > 3
    whole(place)


@pytest.mark.slow
def test_a_key_that_expires_in_mid_run(jobs, small, gate, place, whole):
    def expiring(number: int, verb: str, path: str) -> str:
        expired.extend([number] if verb == "PUT" and "/commits/00000002" in path else [])
        return "ExpiredToken" if expired else ""

    expired, gate.trouble = [], expiring
    done = jobs.generate(place.uri, *small, "--workers", 1, env=gate.env)
    whose = "those of the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY have expired; get new ones"
    stopped(done, place, f"refuses the keys (ExpiredToken); {whose}")
    gate.trouble = lambda number, verb, path: ""
    done = jobs.generate(place.uri, *small, "--workers", 1, env=gate.env)
    assert done.returncode == 0, done.stderr
    whole(place)


@pytest.mark.slow
def test_a_full_quota(s3, jobs, small, place, whole):
    quota = ("--quota-scope=bucket", f"--bucket={place.uri.split('/')[2]}")
    admin(s3, "quota", "set", *quota, "--max-objects=14")
    admin(s3, "quota", "enable", *quota)
    done = jobs.generate(place.uri, *small, "--workers", 1, env=s3.env)
    stopped(done, place, "is used up; free space or raise it and run the same command again")
    admin(s3, "quota", "disable", *quota)
    done = jobs.generate(place.uri, *small, "--workers", 1, env=s3.env)
    assert done.returncode == 0, done.stderr
    whole(place)


def admin(s3: S3Server, *words: str) -> None:
    subprocess.run(["radosgw-admin", "-c", s3.folder / "ceph.conf", *words], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("conditions", ["honoured", "forgotten"])
def test_two_of_the_same_job_at_once_end_with_one_artifact(jobs, small, gate, place, whole, conditions):
    gate.trouble = lambda number, verb, path: "forget the condition" if conditions == "forgotten" else ""
    both = [jobs.start(place.uri, *small, "--workers", workers, env=gate.env) for workers in (1, 2)]
    for job in both:
        _, said = job.communicate(timeout=300)
        assert job.returncode == 0, said
        assert ("ignores conditional writes" in said) == (conditions == "forgotten")
    whole(place)
