"""For the whole test session: a real S3 server (Ceph's radosgw, by tests/ceph.sh), and sets for more than one file."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError

from cxr import cluster
from cxr.data.lineage import PHANTOM
from cxr.embedded.phantoms import draw_phantom
from cxr.prompts.findings import BINARY
from cxr.store import capabilities
from cxr.store.s3_client import connect
from tests.browsing import browser, show  # noqa: F401 - fixtures

_SCRIPT = Path(__file__).parents[1] / "ceph.sh"
_REQUEST = re.compile(r'beast: .*?"(?P<verb>[A-Z]+) /(?P<bucket>[^/? "]*)(?P<rest>\S*) HTTP/1.1" (?P<status>\d+)')


@dataclass(frozen=True)
class S3Server:
    """A running gateway: `env` is what a client process needs, `endpoint` its address."""

    folder: Path
    env: dict[str, str]

    @property
    def endpoint(self) -> str:
        return self.env["AWS_ENDPOINT_URL_S3"]

    def make_bucket(self) -> str:
        """A new empty bucket; returns its name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def client(self):
        """A plain boto3 client of its own, to look behind the store's back."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.env["AWS_REGION"],
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
        )

    def kill_gateway(self) -> None:
        """kill -9; the data stays."""
        _ceph("gateway-kill", self.folder)

    def start_gateway(self) -> None:
        _ceph("gateway-start", self.folder)

    def requests(self, bucket: str, verb: str = "PUT") -> list[tuple[str, int]]:
        """(path after the bucket, status) of every such request for an object, from the gateway's access log."""
        found = (m for m in _REQUEST.finditer(self._access_log()) if m["bucket"] == bucket and m["verb"] == verb)
        return [(m["rest"], int(m["status"])) for m in found if m["rest"]]

    def _access_log(self) -> str:
        """The log is written behind the requests: a marker request tells when it has caught up."""
        marker = uuid.uuid4().hex
        with contextlib.suppress(ClientError):
            self.client().head_object(Bucket="marker", Key=marker)
        for _ in range(100):
            log = (self.folder / "log" / "client.rgw.log").read_text(errors="replace")
            if marker in log:
                return log
            time.sleep(0.1)
        raise TimeoutError("the gateway does not log its requests")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if shutil.which("radosgw") is None:
        pytest.skip("no radosgw: apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd ceph-common")
    folder = tmp_path_factory.mktemp("ceph") / "server"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    try:
        exports = _ceph("up", folder, str(port))
        yield S3Server(folder, dict(re.findall(r"export (\w+)=(\S+)", exports)))
    finally:
        _ceph("down", folder)


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3Server]:
    """The server, with this process's environment (and that of its children) set to use it."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    capabilities._known.clear()
    connect.cache_clear()
    yield s3_server
    connect.cache_clear()


@pytest.fixture
def no_job_left_over(jobs) -> Iterator[None]:
    yield
    jobs.end_started()


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[None]:
    """A Ray of this process's own, which jobs that are called here stay in; others start theirs, as for users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        with cluster.session():
            yield


@pytest.fixture(scope="session")
def ingest_words() -> tuple[str | int, ...]:
    """The command of the real set, but for --out."""
    return "ingest.py", "tiny", "--source", "phantom:160,3", "--folds", 2, "--size", 64


@pytest.fixture(scope="session")
def real_set(jobs, ingest_words, once) -> Path:
    """160 phantoms of 64 px, split by patient, as two workers make it. For reading only."""

    def make(place: Path) -> None:
        done = jobs.run(*ingest_words, "--out", place)
        assert done.returncode == 0, done.stderr
        assert "160 images" in done.stdout and f"look at {place}/split_report.png" in done.stdout

    return once("real", make)


@pytest.fixture(scope="session")
def evaluate_words(real_set, small_set):
    sets = ("evaluate.py", "tiny", "--real", real_set, "--synthetic", small_set)
    return *sets, "--size", 32, "--min-samples", 12, "--resamples", 10


@pytest.fixture(scope="session")
def evaluation(jobs, shared_ray, evaluate_words, once) -> Path:
    """What two workers leave. For reading only."""

    def make(place: Path) -> None:
        done = jobs.call(*evaluate_words, "--out", place)
        assert f"look at {place}/index.html" in done.stdout and "FID" not in done.stdout

    return once("evaluation", make)


@pytest.fixture(scope="session")
def study_sets(stored_set) -> tuple[Path, Path]:
    """120 real pictures of 40 patients, split; 84 synthetic ones, whose generator saw nobody."""
    pixels, findings, patients = drawn(1, 120)
    parts = ["train"] * 84 + ["validation"] * 12 + ["test"] * 24
    real = stored_set("reals", pixels, finding=findings, patient_id=patients, split=parts, source=[PHANTOM] * 120)
    pixels, findings, _ = drawn(2, 84)
    fake = stored_set("fakes", pixels, metrics={"patients_seen": []}, finding=findings)
    return Path(real.store.uri), Path(fake.store.uri)


def drawn(seed: int, count: int) -> tuple[np.ndarray, list[str], list[str]]:
    """Pixels, findings and patients of phantoms."""
    found = [draw_phantom(seed, number, BINARY, 64) for number in range(count)]
    pixels = np.stack([one.pixels for one in found])
    return pixels, [one.attributes.findings[0] for one in found], [one.patient.patient_id for one in found]


def _ceph(command: str, folder: Path, *more: str) -> str:
    done = subprocess.run([_SCRIPT, command, folder, *more], capture_output=True, text=True, timeout=180)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout
