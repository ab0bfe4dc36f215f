"""A head that goes away ends a job with one line; one that stays, or comes back, does not."""

import os
import socket
import subprocess
import sys
import time

import pytest

from cxr.cluster.watch import watch_head

JOB = """
import socket, time
from cxr.cluster.watch import watch_head
listening = socket.create_server(("127.0.0.1", 0))
with watch_head(f"127.0.0.1:{listening.getsockname()[1]}", away=0.6, between=0.05):
    listening.close()
    time.sleep(60)
"""


def test_a_head_that_goes_away_ends_the_job_with_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", JOB], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "the same command goes on" in done.stderr


@pytest.mark.parametrize("comes_back", [False, True])
def test_one_that_stays_or_comes_back_does_not(comes_back: bool, monkeypatch, capsys) -> None:
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    head = socket.create_server(("127.0.0.1", 0), backlog=64)
    address = head.getsockname()
    with watch_head(f"127.0.0.1:{address[1]}", away=0.4, between=0.02):
        time.sleep(0.1)
        if comes_back:
            head.close()
            time.sleep(0.1)
            head = socket.create_server(address, backlog=64)
        time.sleep(0.7)
    head.close()
    assert not ends and not capsys.readouterr().err
