"""The images, really built on a bare Debian, and the whole cluster of docker/compose.yaml run with them.

CXR_BASE_IMAGE names another base; CXR_IMAGE and CXR_S3_IMAGE name images that are built already.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.timeout(3600)]  # the first test waits for the build

ROOT = Path(__file__).parents[2]
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
PACKAGES = "ca-certificates,python3,python3-venv"
SECONDS_TO_START = 20
SAME = """
import sys
from cxr.store import open_store
one, other = ({key: store.get(key) for key, _ in store.list() if key != "record.json"}
              for store in map(open_store, sys.argv[1:]))
assert one == other and len(one) > 200, (len(one), one.keys() ^ other.keys())
"""


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which `docker` finds a daemon: the machine's own, or one of ours until the tests end."""
    if shutil.which("docker") is None:
        pytest.skip("no docker: apt-get install -y --no-install-recommends docker.io docker-compose debootstrap")
    env = {**os.environ, "DOCKER_BUILDKIT": "0"}
    if answers(env):
        yield env
        return
    if os.geteuid() or shutil.which("dockerd") is None:
        pytest.skip("no docker daemon answers, and only root with dockerd can start one")
    folder = tmp_path_factory.mktemp("docker")
    env["DOCKER_HOST"] = f"unix://{folder}/socket"
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen(["dockerd", *places, f"--host={env['DOCKER_HOST']}"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + SECONDS_TO_START
        while not answers(env):
            if time.monotonic() > end or daemon.poll() is not None:
                pytest.skip(f"dockerd does not start here: {(folder / 'log').read_text()[-300:]}")
            time.sleep(0.2)
        yield env
    finally:
        daemon.terminate()
        daemon.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def answers(env: dict[str, str]) -> bool:
    return subprocess.run(["docker", "info"], env=env, capture_output=True).returncode == 0


def run(env: dict[str, str], *words: str, seconds: float = 3000) -> str:
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def images(docker: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The names of both images, as compose.yaml takes them."""
    held = {"CXR_IMAGE": ("docker/Dockerfile", "cxr:test"), "CXR_S3_IMAGE": ("docker/s3.Dockerfile", "cxr-s3:test")}
    if not held.keys() <= os.environ.keys():
        base = os.environ.get("CXR_BASE_IMAGE") or bare_debian(docker, tmp_path_factory.mktemp("base"))
        for file, name in held.values():
            arguments = f"BASE_IMAGE={base}", "--network", "host"
            run(docker, "docker", "build", "--file", file, "--tag", name, "--build-arg", *arguments, ".")
    return {variable: os.environ.get(variable, name) for variable, (_, name) in held.items()}


def bare_debian(env: dict[str, str], folder: Path) -> str:
    """A base of Debian's packages, for where no registry of images is in reach; it trusts what this machine trusts."""
    if os.geteuid() or shutil.which("debootstrap") is None:
        pytest.skip("only root with debootstrap can make a base; or give CXR_BASE_IMAGE")
    run(env, "debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(folder))
    shutil.copy(f"/{CERTIFICATES}", folder / CERTIFICATES)
    change = f"ENV PIP_CERT=/{CERTIFICATES}"
    tar = subprocess.Popen(["tar", "-C", str(folder), "-c", "."], stdout=subprocess.PIPE)
    subprocess.run(["docker", "import", "--change", change, "-", "cxr-base"], env=env, stdin=tar.stdout, check=True)
    assert tar.wait() == 0
    return "cxr-base"


def test_the_image_holds_what_nodes_need_and_no_compiler(docker, images):
    names = "for name in ray wget gcc cc g++ clang make; do command -v $name; done"
    shown = f"id -u; {names}; touch /opt/cxr/x 2>&1; pip --version"
    told = run(docker, "docker", "run", "--rm", images["CXR_IMAGE"], "sh", "-c", shown).splitlines()
    assert told[:3] == ["10001", "/opt/cxr/bin/ray", "/usr/bin/wget"]
    assert "Permission denied" in told[3] and "/opt/cxr/" in told[4]


def test_the_image_tells_what_it_is(docker, images):
    (told,) = json.loads(run(docker, "docker", "inspect", images["CXR_IMAGE"]))
    labels = {name.rsplit(".", 1)[1]: value for name, value in told["Config"]["Labels"].items()}
    assert {"title", "version", "revision", "licenses"} <= labels.keys()
    assert told["Config"]["Healthcheck"] and told["Config"]["User"] == "10001"
    assert not [value for value in told["Config"]["Env"] if "SECRET" in value or "TOKEN" in value]


@pytest.fixture(scope="session")
def cluster(docker, images) -> Iterator[tuple[dict[str, str], list[str], subprocess.CompletedProcess[str]]]:
    """(environment, compose command, how `up` ended) of the cluster in docker/compose.yaml, which is still up."""
    if shutil.which("docker-compose") is None:
        pytest.skip("no docker-compose: apt-get install -y --no-install-recommends docker-compose")
    project = f"cxrtest{secrets.token_hex(3)}"
    env = {**docker, **images, "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    compose = ["docker-compose", "--project-name", project, "--file", "docker/compose.yaml"]
    try:
        run(env, *compose, "up", "--detach", "s3", "head", "worker")
        done = subprocess.run([*compose, "run", "--rm", "job"], cwd=ROOT, env=env, capture_output=True, text=True)
        yield env, compose, done
    finally:
        subprocess.run([*compose, "down", "--volumes", "--timeout", "5"], cwd=ROOT, env=env, capture_output=True)


def test_a_submitted_job_ends_well_on_two_workers(cluster):
    env, compose, done = cluster
    assert done.returncode == 0, done.stdout + done.stderr
    assert "80 images" in done.stdout and "s3://cxr/demo" in done.stdout
    workers = run(env, *compose, "ps", "--quiet", "worker").split()
    assert len(workers) == 2


def test_what_it_made_reads_back_whole(cluster):
    env, compose, _ = cluster
    told = run(env, *compose, "run", "--rm", "--no-deps", "job", "python", "jobs/verify.py", "s3://cxr/demo")
    assert "0 missing, 0 extra, 0 damaged" in told


def test_exit_codes_come_through_the_submission(cluster):
    env, compose, _ = cluster
    words = "python", "jobs/submit.py", "generate", "no-such-recipe", "--out", "s3://cxr/other"
    refused = subprocess.run(
        [*compose, "run", "--rm", "--no-deps", "job", *words], cwd=ROOT, env=env, capture_output=True
    )
    assert refused.returncode == 2


def test_a_node_that_dies_and_one_that_joins_leave_the_same_bytes(cluster):
    env, compose, _ = cluster
    job = [*compose, "run", "--rm", "--no-deps", "job"]
    many = ["python", "jobs/submit.py", "generate", "tiny", "--findings", "Pleural_Conditions", "--per-finding", "200"]
    run(env, *job, *many, "--workers", "3", "--out", "s3://cxr/calm")
    stirred = [*job, *many, "--workers", "2", "--out", "s3://cxr/stirred"]
    going = subprocess.Popen(stirred, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert any(re.search(r"generate: [1-9]\d*/200", line) for line in going.stdout)
    dying, *_ = run(env, *compose, "ps", "--quiet", "worker").split()
    run(env, "docker", "kill", dying)
    run(env, *compose, "up", "--detach", "--scale", "worker=3", "worker")
    rest, _ = going.communicate(timeout=600)
    assert going.returncode == 0, rest
    run(env, *job, "python", "-c", SAME, "s3://cxr/calm", "s3://cxr/stirred")


@pytest.mark.parametrize(("token", "status"), [(None, "401"), ("of-somebody-else-0123456789abcdef", "403")])
def test_nobody_without_the_token_submits(cluster, token, status):
    env, compose, _ = cluster
    header = [f"--header=Authorization: Bearer {token}"] if token else []
    post = ["wget", "-S", "-O-", *header, "--header=Content-Type: application/json",
            '--post-data={"entrypoint": "id"}', "http://head:8265/api/jobs/"]  # fmt: skip
    done = subprocess.run(
        [*compose, "run", "--rm", "--no-deps", "job", *post], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert f"HTTP/1.1 {status}" in done.stdout + done.stderr and done.returncode


def test_no_log_shows_the_token_or_the_keys(cluster):
    env, compose, done = cluster
    assert env["RAY_AUTH_TOKEN"] not in run(env, *compose, "logs", "--no-color") + done.stdout + done.stderr
    look = f"grep -rlE '{env['RAY_AUTH_TOKEN']}|testsecret' /tmp/ray/session_latest/ || true"
    for node in run(env, *compose, "ps", "--quiet", "head", "worker").split():
        assert run(env, "docker", "exec", node, "sh", "-c", look) == ""
