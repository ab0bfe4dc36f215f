"""Generate, fine-tune and study on a cluster of a head and two worker nodes with raylets of their own, under kill -9.

The nodes share this host (`docker/compose.yaml` has them in containers). One that dies is replaced, as an autoscaler
does. Each test prints its figures: `pytest -m slow -s tests/integration/test_under_fire.py`. There is
a kill for every hundred pictures, but twenty at most. Each costs the same: FIRE_IMAGES=5000 is a job of some minutes.
"""

import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from ray.util import get_node_ip_address

from cxr.artifact import Verification, verify
from cxr.errors import StoreError
from cxr.store import open_store
from cxr.study.results import read_trial
from tests.integration.test_finetune import losses
from tests.integration.test_nothing_lost import committed
from tests.integration.test_submit import clean_environment, free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400), pytest.mark.usefixtures("no_job_left_over")]
RAY = Path(sys.executable).parent / "ray"
IMAGES = int(os.environ.get("FIRE_IMAGES", "1000"))
KILLS = min(20, IMAGES // 100)
MANY = ("--findings", "Pleural_Conditions", "--per-finding", IMAGES, "--steps", 20, "--batch", 4, "--workers", 2)
POINTS = ["sampler"] * 6 + ["driver"] * 4 + ["raylet"] * 4 + ["node"] * 3 + ["gateway"] * 3
STUDY_POINTS = ["trial"] * 3 + ["driver"] * 2 + ["node"] * 2
TRAIN_POINTS = ["worker"] * 2 + ["driver"] + ["raylet"]
EVERY = 5  # steps between checkpoints


@dataclass
class Cluster:
    """Nodes by `ray start`: the head, which runs no work, then others with two CPUs each."""

    folder: Path
    address: str
    token: str
    keys: dict[str, str]  # of the S3 server, which nodes have in their environment
    nodes: list[subprocess.Popen] = field(default_factory=list)

    def add(self) -> None:
        command = [RAY, "start", "--block", "--disable-usage-stats"]
        if not self.nodes:
            command += ["--head", "--num-cpus=0", f"--port={self.address.split(':')[1]}"]
            command += ["--include-dashboard=false", f"--temp-dir={self.folder}"]
        else:
            command += ["--num-cpus=2", f"--address={self.address}"]
        agent, metrics = free_ports(2)
        command += [f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}"]
        command += ["--object-store-memory=100000000"]
        env = clean_environment() | self.env | self.keys | {"RAY_worker_niceness": "0"}
        log = (self.folder / "start.log").open("a")
        self.nodes.append(subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True))

    @property
    def env(self) -> dict[str, str]:
        """What a job on the cluster needs."""
        return {"RAY_ADDRESS": self.address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}

    def await_nodes(self) -> None:
        """Until every raylet is there and the head answers; a start that Ray gave up is made again, as of a pod."""
        status = [RAY, "status", f"--address={self.address}"]
        end = time.monotonic() + 120
        while (
            not all(self.raylet(node) for node in self.nodes)
            or subprocess.run(status, env=os.environ | self.env, capture_output=True).returncode
        ):
            assert time.monotonic() < end, (self.folder / "start.log").read_text()
            for node in [node for node in self.nodes[1:] if node.poll() is not None]:
                self.nodes.remove(node)
                self.add()
            time.sleep(0.3)

    def raylet(self, node: subprocess.Popen) -> psutil.Process | None:
        return next((process for process in family(node.pid) if process.name() == "raylet"), None)

    def named(self, name: str) -> list[psutil.Process]:
        """The worker processes at such work on any node."""
        found = []
        for process in (process for node in self.nodes for process in family(node.pid)):
            with contextlib.suppress(psutil.Error):
                found += [process] if any(name in word for word in process.cmdline()[:1]) else []
        return found

    def kill(self, what: str, rng: random.Random) -> None:
        """A raylet, or a whole node at one stroke; another node takes its place."""
        self.await_nodes()
        node = rng.choice(self.nodes[1:])
        if what == "node":
            kill_node(node)
        else:
            self.raylet(node).kill()
        node.wait(60)
        self.nodes.remove(node)
        self.add()

    def end(self) -> None:
        for node in self.nodes:
            kill_node(node)
            node.wait(60)


def kill_node(node: subprocess.Popen) -> None:
    for process in family(node.pid):
        with contextlib.suppress(psutil.Error):
            process.kill()
    node.kill()


def family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@pytest.fixture
def cluster(s3_server) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    made = Cluster(folder, f"{get_node_ip_address()}:{free_ports(1)[0]}", secrets.token_hex(16), s3_server.env)
    try:
        for _ in range(3):
            made.add()
            made.await_nodes()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


class Reader(threading.Thread):
    """Polls a place all the time; verifies what it finds at the first sight of a record."""

    def __init__(self, place: str) -> None:
        super().__init__(daemon=True)
        self.place, self.seen, self.failure = place, None, None
        self.looks = 0

    def run(self) -> None:
        try:
            self.seen = self.first_sight()
        except BaseException as failure:
            self.failure = failure

    def first_sight(self) -> Verification:
        store = open_store(self.place)
        while True:
            self.looks += 1
            with contextlib.suppress(StoreError, KeyError):  # the gateway is down; it is not there yet
                if store.get("record.json"):
                    return verify(store)
            time.sleep(0.05)


@contextlib.contextmanager
def noted(look: Callable[[], int]) -> Iterator[list[int]]:
    """A list that gets what `look` gives, whenever that is another than before."""
    seen, over = [look()], threading.Event()

    def body() -> None:
        while not over.wait(0.05):
            if (now := look()) != seen[-1]:
                seen.append(now)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def await_more(job: subprocess.Popen, count: Callable[[], int]) -> bool:
    """Until one more is stored; False if the job was done before."""
    before, end = count(), time.monotonic() + 300
    while count() <= before:
        if job.poll() is not None:
            return False
        assert time.monotonic() < end, "nothing is stored any more"
        time.sleep(0.2)
    return True


def kill_driver(job: subprocess.Popen) -> None:
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()


def test_generate(s3, jobs, cluster, contents):
    """Kills at random moments, in as many runs as it takes: each run gives the bytes of an undisturbed one."""
    env = s3.env | cluster.env
    bucket, rng = s3.make_bucket(), random.Random(7)
    calm = f"s3://{bucket}/calm"
    began = time.monotonic()
    Reader(calm).start()  # as beside the others
    done = jobs.generate(calm, *MANY, env=env, seconds=1200)
    assert done.returncode == 0, done.stderr
    undisturbed = time.monotonic() - began

    points, total = rng.sample(POINTS, len(POINTS)), 0
    for run in range(KILLS):
        place = f"s3://{bucket}/set{run}"
        reader = Reader(place)
        reader.start()
        began, struck = time.monotonic(), []
        job = jobs.start(place, *MANY, env=env)
        while points and await_more(job, lambda place=place: len(committed(place))):
            point = points.pop()
            time.sleep(rng.uniform(0, 1))
            if point == "driver":
                kill_driver(job)
                job = jobs.start(place, *MANY, env=env)
            elif point == "sampler":
                while not (found := cluster.named("MapWorker")) and job.poll() is None:
                    time.sleep(0.1)
                if not found:
                    break
                rng.choice(found).kill()
            elif point == "gateway":
                s3.kill_gateway()
                time.sleep(rng.uniform(0, 4))
                s3.start_gateway()
            else:
                cluster.kill(point, rng)
            struck.append(point)
        _, said = job.communicate(timeout=1200)
        disturbed = time.monotonic() - began
        assert job.returncode == 0, said
        reader.join(60)
        assert reader.failure is None and not reader.is_alive()
        assert reader.seen.missing == reader.seen.damaged == []
        assert contents(place) == contents(calm)
        assert jobs.verify(place).returncode == 0
        begin = f"/set{run}/images/P"
        stored = [path for path, status in s3.requests(bucket) if status == 200 and path.startswith(begin)]
        assert len(set(stored)) == IMAGES
        print(
            f"\n{len(struck)} kills ({', '.join(struck)}): {IMAGES} pictures stored by {len(stored)} PUTs; "
            f"{disturbed:.0f} s, undisturbed {undisturbed:.0f} s; {reader.looks} looks by a reader"
        )
        total += len(struck)
        if total >= KILLS:
            break
    assert total >= KILLS


def test_study(jobs, cluster, study_sets, tmp_path):
    """No finished trial is repeated, whatever dies, and the scores are those of an undisturbed run."""
    env, rng = cluster.env, random.Random(8)
    real, fake = study_sets
    words = ("study.py", "tiny", "--real", real, "--synthetic", fake, "--allow-unchecked-copies", "--seeds", "1,2")
    words += ("--size", 32, "--resize", 32, "--epochs", 20, "--batch", 16)
    calm, place = tmp_path / "calm", tmp_path / "out"
    began = time.monotonic()
    done = jobs.run(*words, "--out", calm, env=env)
    assert done.returncode == 0, done.stderr
    undisturbed = time.monotonic() - began

    def results() -> dict[str, int]:
        return {str(path.relative_to(place)): path.stat().st_mtime_ns for path in place.glob("trials/*/*/result.json")}

    began, struck, kept = time.monotonic(), [], {}
    job = jobs.start_job(*words, "--out", place, env=env)
    for point in rng.sample(STUDY_POINTS, len(STUDY_POINTS)):
        if not await_more(job, lambda: len(results())):
            break
        time.sleep(rng.uniform(0, 1))
        kept = {**results(), **kept}  # of each trial the moment it was first seen
        if point == "driver":
            kill_driver(job)
            job = jobs.start_job(*words, "--out", place, env=env)
        elif point == "trial":
            for process in cluster.named("run_and_report")[:1]:
                process.kill()
        else:
            cluster.kill(point, rng)
        struck.append(point)
    _, said = job.communicate(timeout=900)
    assert job.returncode == 0, said
    assert len(struck) >= 4
    assert kept.items() <= results().items()
    recipe = json.loads((calm / "record.json").read_text())["recipe_digest"]
    for key in results():
        ours, theirs = (read_trial(open_store(str(folder)), key, recipe) for folder in (place, calm))
        assert ours.scores == theirs.scores, key
    print(f"\n{', '.join(struck)}: {time.monotonic() - began:.0f} s, undisturbed {undisturbed:.0f} s")


def test_finetune(jobs, cluster, real_set, tmp_path):
    """What dies costs at most what came after the last checkpoint; the curve is that of an undisturbed run."""
    env, rng = cluster.env, random.Random(9)
    words = ("finetune.py", "tiny", "--data", real_set, "--model", jobs.model, "--size", 64, "--batch", 4)
    words += ("--max-train-steps", 40, "--validate-every", EVERY)
    calm, place = tmp_path / "calm", tmp_path / "model"
    done = jobs.run(*words, "--out", calm, env=env)
    assert done.returncode == 0, done.stderr

    def step() -> int:
        note = place / "checkpoints" / "final.json"
        return json.loads(note.read_text())["step"] if note.exists() else 0

    struck = []
    job = jobs.start_job(*words, "--out", place, env=env)
    with noted(step) as steps:
        for point in rng.sample(TRAIN_POINTS, len(TRAIN_POINTS)):
            assert await_more(job, step), job.communicate()
            struck.append(f"{point} after {step()}")
            if point == "driver":
                kill_driver(job)
                job = jobs.start_job(*words, "--out", place, env=env)
            elif point == "worker":
                for process in cluster.named("RayTrainWorker"):
                    process.kill()
            else:
                cluster.kill(point, rng)
        _, said = job.communicate(timeout=900)
    assert job.returncode == 0, said
    stored = [step for step in steps if step]  # none before the first checkpoint and after the end
    assert stored == list(range(EVERY, max(stored) + 1, EVERY))  # so nothing before a checkpoint is done again
    assert losses(place) == losses(calm)
    print(f"\n{', '.join(struck)}")
