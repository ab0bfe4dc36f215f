"""Why Ray cannot be joined or started, from what it says: one line with the cause and what to do."""

import errno
import importlib
import os
import socket
import subprocess
import sys
import threading

import pytest

from cxr.errors import BadInput

session = importlib.import_module("cxr.cluster.session")  # in the package its function has that name

MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.54.0
    Python: 3.11.7
This process on 192.0.2.2:26379 was started with:
    Ray: 2.60.0
    Python: 3.12.1
"""
TOKEN = (
    "gcs_client.cc:210: Failed to get cluster ID: Unauthenticated: RPC error: InvalidAuthToken: missing or incorrect"
)


@pytest.mark.parametrize(
    ("error", "written", "told"),
    [
        (MISMATCH, "", "Ray 2.54.0 with Python 3.11.7, here Ray 2.60.0 with Python 3.12.1; install the same"),
        ("Failed to connect to Ray cluster at 192.0.2.2:26390", TOKEN, "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"),
        ("Failed to connect to Ray cluster at 192.0.2.2:26390", "", "what answers there is no Ray cluster"),
        ("Could not find any running Ray instance. Please", "", "no Ray cluster runs on this machine; start one"),
        ("Found multiple active Ray instances: {'a', 'b'}. Please", "", "several Ray clusters run on this machine"),
        ("Invalid address format: nonsense", "", "no address; give HOST:PORT"),
        (
            "This node has an\n  IP address that is not known. More",
            "",
            "(This node has an IP address that is not known)",
        ),
    ],
)
def test_a_cluster_that_cannot_be_joined_names_its_cause(monkeypatch, error, written, told):
    def refuse(**_: object) -> None:
        os.write(2, written.encode())
        raise ConnectionError(error)

    monkeypatch.setattr(session.ray, "init", refuse)
    with pytest.raises(BadInput) as caught:
        session.join_cluster("auto", {})
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith("RAY_ADDRESS auto: ")


def test_a_cluster_whose_machine_died_is_named_so(monkeypatch):
    def refuse(**_: object) -> None:
        raise ConnectionError("Failed to connect to Ray cluster at h:1") from RuntimeError(
            "No node info found matching"
        )

    monkeypatch.setattr(session.ray, "init", refuse)
    with pytest.raises(BadInput, match="RAY_ADDRESS auto: the cluster has lost its machine here; start it again"):
        session.join_cluster("auto", {})


JOIN = """
import importlib, os
session = importlib.import_module("cxr.cluster.session")
session.ray.init = lambda **_: os._exit(1) if {ends} else None
session.join_cluster("auto", {{}})
"""


@pytest.mark.parametrize("ends", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_ray_never_ends_the_process_without_a_word(ends):
    done = subprocess.run([sys.executable, "-c", JOIN.format(ends=ends)], capture_output=True, text=True)
    if not ends:
        assert (done.returncode, done.stderr) == (0, "")
        return
    [line] = done.stderr.splitlines()
    assert line.startswith("RAY_ADDRESS auto: Ray ended this process while it joined") and "start it again" in line


def test_what_ray_writes_meanwhile_is_not_shown(monkeypatch, capfd):
    monkeypatch.setattr(session.ray, "init", lambda **_: os.write(2, b"noise"))
    session.join_cluster("auto", {})
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /x/y"),
            "too long a path for Ray's sockets, which may have 107 bytes",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/batch/ray"), "cannot write there (Permission denied)"),
        (OSError(errno.EROFS, "Read-only file system", "/batch/ray"), "cannot write there (Read-only file system)"),
        (OSError(errno.ENOSPC, "No space left on device", "/batch/ray"), "disk full; free space"),
        (
            ValueError("Attempting to cap object store memory usage at 5 bytes, but the minimum allowed is 78643200"),
            "/dev/shm has too little room for Ray",
        ),
        (RuntimeError("The current node timed out during startup. This"), "free CPUs and memory"),
    ],
)
def test_a_machine_where_ray_does_not_start_names_the_cause(monkeypatch, error, told):
    def refuse(**_: object) -> None:
        raise error

    monkeypatch.setattr(session.ray, "init", refuse)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/batch")
    with pytest.raises(Exception, match=r"^[^\n]*$") as caught:
        session.start_local_cluster(1, {})
    assert type(caught.value).__name__ in ("BadInput", "StoreError") and told in str(caught.value)
    assert ("TMPDIR /batch" in str(caught.value)) == ("RAY_TMPDIR" in str(caught.value))
    assert ("free CPUs" in told) == ("free CPUs" in str(caught.value))


def test_the_port_for_submitted_jobs_is_told_from_rays_own(monkeypatch):
    """Ray itself waits there for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(100)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(BadInput, match=f"RAY_ADDRESS {address}: a web server answers, as where jobs are submitted"):
            session.require_listener(address)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:1", "nobody answers"),
        ("ray://127.0.0.1:1", "nobody answers"),
        ("http://head:8265", "jobs/submit.py"),
    ],
)
def test_an_address_without_a_cluster_is_told_at_once(address, told, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(session.ray, "is_initialized", lambda: False)  # another test's may be here
    with pytest.raises(BadInput, match=f"RAY_ADDRESS {address}: .*{told}"), session.session():
        pass


def test_a_process_that_is_in_a_cluster_stays_in_it(monkeypatch, capsys):
    monkeypatch.setattr(session.ray, "is_initialized", lambda: True)
    for ends in ("init", "shutdown"):
        monkeypatch.setattr(session.ray, ends, lambda *_, **__: pytest.fail("another cluster, or none"))
    with session.session():
        print("of Ray")
    assert capsys.readouterr().out == ""
