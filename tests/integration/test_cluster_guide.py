"""The lines of docs/guides/cluster.md as they stand there, in a fresh shell: a head, both ways to submit, metrics.

What is changed are ports, so that nothing else on the machine is met, and the work, so that it is small.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_submit import await_answer, free_ports

ROOT = Path(__file__).parents[2]
LINES = [line.partition(" # ")[0].strip() for line in (ROOT / "docs/guides/cluster.md").read_text().splitlines()]
SMALL = "--findings normal --per-finding 1 --size 64 --steps 1 --workers 1"


def line_with(words: str) -> str:
    (found,) = [line for line in LINES if words in line and not line.startswith(("To ", "`"))]
    return found


def fresh_shell() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    return kept | {"OMP_NUM_THREADS": "1"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clone with an environment, and with X-rays in it."""
    folder = tmp_path / "clone"
    for part in ("cxr", "jobs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".rayignore", folder)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "my-xrays").mkdir()
    (folder / "my-xrays" / "one.png").write_bytes(b"an X-ray")
    return folder


@contextlib.contextmanager
def started(command: str, project: Path, env: dict[str, str], url: str, scratch: Path) -> Iterator[None]:
    with (scratch / "head.log").open("w") as log:
        head = subprocess.Popen(
            ["bash", "-c", command], cwd=project, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        await_answer(url, head, scratch / "head.log")
        yield
    finally:
        os.killpg(head.pid, signal.SIGTERM)  # with --block it ends what it has started
        head.wait(60)
        shutil.rmtree(scratch, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(1000)
def test_a_head_both_ways_to_submit_and_metrics_work_as_the_guide_shows_them(project: Path) -> None:
    gcs, dashboard, client, agent, metrics = free_ports(5)
    scratch = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # Ray's sockets want a short path
    own = (
        f" --port={gcs} --dashboard-port={dashboard} --ray-client-server-port={client} --num-cpus=2 --block"
        f" --dashboard-agent-listen-port={agent} --temp-dir={scratch} --object-store-memory=100000000"
    )
    exports = subprocess.run(
        ["bash", "-c", f"{line_with('openssl rand')}; env"], env=fresh_shell(), capture_output=True, text=True
    )
    token = dict(line.split("=", 1) for line in exports.stdout.splitlines() if line.startswith("RAY_AUTH_"))
    head = line_with("ray start --head").replace("8080", str(metrics)) + own
    ways = {
        "submitted": line_with("jobs/submit.py generate tiny").replace("8265", str(dashboard)) + f" {SMALL}",
        "rays-own": f"RAY_ADDRESS=http://127.0.0.1:{dashboard} "
        + line_with("ray job submit").replace("sd15", "tiny").replace("s3://bucket/prefix", "$PWD/out/rays-own")
        + f" {SMALL}",
    }
    with started(head, project, fresh_shell() | token, f"http://127.0.0.1:{dashboard}/api/gcs_healthz", scratch):
        for place, command in ways.items():
            done = subprocess.run(
                ["bash", "-c", command], cwd=project, env=fresh_shell() | token, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert "Traceback" not in done.stdout + done.stderr
            assert (project / "out" / place / "record.json").exists()
        told = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics").read().decode()
        assert all(f"ray_cxr_{name}_total{{" in told for name in ("units", "images", "bytes"))
        sent = [*scratch.glob("session_*/runtime_resources/working_dir_files/*/")]
        assert sent and not [path for folder in sent for path in folder.rglob("my-xrays")]
