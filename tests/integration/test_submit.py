"""Jobs submitted to a cluster over HTTP, with a token: exit codes, refusals, stopping, attempts."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

JOB = '''
"""What a job does, as told."""
import os, sys, time
from dataclasses import dataclass
from pathlib import Path
from tyro.conf import Positional
from cxr.errors import BadInput

@dataclass(frozen=True)
class Args:
    code: Positional[int]
    out: str = "s3://bucket/place"
    words: Path | None = None
    seconds: float = 0
    workers: int | None = None

def main(args: Args) -> int:
    """Ends with the code."""
    print("sees", sorted(os.listdir()), "secret" in os.environ.get("AWS_SECRET_ACCESS_KEY", ""), flush=True)
    print(args.words.read_text() if args.words else "", end="", flush=True)
    time.sleep(args.seconds)
    if args.code == 2:
        raise BadInput("two: is not one")
    return args.code
'''


@dataclass(frozen=True)
class Cluster:
    """A head of its own on loopback, and a project with one more job, `end`."""

    address: str
    token: str
    project: Path

    def submit(self, *words: str | int, **env: str) -> subprocess.CompletedProcess[str]:
        with self.submitting(*words, **env) as running:
            out, err = running.communicate(timeout=120)
        return subprocess.CompletedProcess(words, running.returncode, out, err)

    def submitting(self, *words: str | int, **env: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "cxr", "submit", *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.project, env=self.env | env, **pipes)

    @property
    def env(self) -> dict[str, str]:
        told = {"RAY_ADDRESS": self.address, "RAY_AUTH_TOKEN": self.token, "PYTHONPATH": str(self.project)}
        return clean_environment() | told | {"AWS_SECRET_ACCESS_KEY": "a secret of the submitter"}


def clean_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Head:
    """Of a cluster on loopback: what drivers connect to, what jobs are submitted to, and the token of both."""

    driver: str
    dashboard: str
    token: str


@contextlib.contextmanager
def running_head(cpus: int) -> Iterator[Head]:
    gcs, dashboard, client, agent = free_ports(4)
    head = Head(f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}", secrets.token_hex(16))
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    command = [
        Path(sys.executable).parent / "ray", "start", "--head", "--block", f"--num-cpus={cpus}",
        "--disable-usage-stats", "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--port={gcs}",
        f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}",
        f"--dashboard-agent-listen-port={agent}", f"--temp-dir={folder}", "--object-store-memory=100000000",
    ]  # fmt: skip
    env = clean_environment() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": head.token, "RAY_worker_niceness": "0"}
    log = (folder / "start.log").open("w")
    running = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        await_answer(f"{head.dashboard}/api/gcs_healthz", running, folder / "start.log")
        yield head
    finally:
        running.terminate()  # with --block it ends what it has started
        running.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "cxr", project / "cxr", ignore=shutil.ignore_patterns("assets", "__pycache__"))
    (project / "cxr" / "jobs" / "end.py").write_text(JOB)
    (project / "out").mkdir()
    (project / "out" / "picture").write_text("real")
    with running_head(2) as head:
        yield Cluster(head.dashboard, head.token, project)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


def await_answer(url: str, head: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and head.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(log.read_text())


def await_line(running: subprocess.Popen[str], text: str) -> None:
    for line in running.stdout:
        if text in line:
            return
    raise AssertionError(running.stderr.read())


@pytest.fixture(scope="module")
def ended(cluster: Cluster) -> dict[int, subprocess.CompletedProcess[str]]:
    """Three jobs at once, by the code that each is to end with; the first has a file with it."""
    (cluster.project / "words.txt").write_text("travelled\n")
    asked = {0: ("end", 0, "--words", "words.txt"), 2: ("end", 2), 3: ("end", 3)}
    with ThreadPoolExecutor(len(asked)) as threads:
        return dict(zip(asked, threads.map(lambda words: cluster.submit(*words), asked.values()), strict=True))


@pytest.fixture(scope="module")
def done(ended: dict[int, subprocess.CompletedProcess[str]]) -> subprocess.CompletedProcess[str]:
    return ended[0]


def test_a_job_ends_with_its_own_code_and_log(cluster, done):
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
    assert "travelled\n" in done.stdout


def test_code_and_named_files_travel_and_nothing_else(cluster, done):
    assert "sees ['cxr', 'words.txt'] False" in done.stdout


@pytest.mark.parametrize("code", [2, 3])
def test_refusals_and_failures_reach_the_caller(ended, code):
    assert ended[code].returncode == code, ended[code].stderr
    assert ("cxr end: two: is not one" in ended[code].stdout) == (code == 2)


def test_an_ended_job_is_submitted_again_as_another_attempt(cluster, done):
    again = cluster.submit("end", 0, "--workers", 1, "--words", "words.txt")
    first, second = (re.search(r"end-\w+(-\d)?", told.stderr)[0] for told in (done, again))
    assert (again.returncode, second) == (0, f"{first}-2")


def test_an_interrupt_stops_the_job_and_a_second_submitter_sees_the_same_one(cluster):
    words = "end", 0, "--seconds", 300
    with cluster.submitting(*words) as first:
        await_line(first, "sees")
        with cluster.submitting(*words) as second:
            assert "which runs already" in second.stderr.readline()
            await_line(second, "sees")
            first.send_signal(signal.SIGINT)
            _, told = first.communicate(timeout=60)
            log, _ = second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (130, 130)
    assert told.endswith("the same command goes on:\n  python -m cxr submit end 0 --seconds 300\n")
    assert "cxr end: stopped; what is stored stays" in log  # the job itself was told, not killed


@pytest.mark.parametrize(
    ("words", "env", "told"),
    [
        (["end", 0], {"RAY_AUTH_TOKEN": "another-token-of-32-characters.."}, "RAY_AUTH_TOKEN: "),
        (["end", 0], {"RAY_AUTH_TOKEN": "", "RAY_AUTH_MODE": "disabled"}, "RAY_AUTH_TOKEN: "),
        (["end", 0], {"RAY_ADDRESS": ""}, "RAY_ADDRESS ''"),
        (["end", 0], {"RAY_ADDRESS": "http://127.0.0.1:9"}, "no Ray cluster answers there"),
        (["edn", 0], {}, "no job is called 'edn'; did you mean end?"),
        (["end", "many"], {}, "(--help lists the options)"),
        (["end", 0, "--out", "out/set"], {}, "would stay on a machine of the cluster"),
        ([], {}, "give a job (audit, browse, compare, end, evaluate"),
    ],
)
def test_what_cannot_be_submitted_is_told_in_one_line(cluster, words, env, told):
    refused = cluster.submit(*words, **env)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1), refused.stderr
    assert told in refused.stderr


def test_no_token_no_answer(cluster):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{cluster.address}/api/jobs/")
    assert refused.value.code == 401
