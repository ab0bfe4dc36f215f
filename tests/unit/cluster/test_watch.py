"""A head that goes away ends a job with one line; one that stays, or comes back, does not."""

import subprocess
import sys

import pytest

JOB = """
import socket, time
from cxr.cluster.watch import watch_head
def head(port=0):
    found = socket.socket(); found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port)); found.listen(64); return found
listening = head(); port = listening.getsockname()[1]
with watch_head(f"127.0.0.1:{port}", away=0.6, between=0.05):
    time.sleep(0.3)
    {change}
    time.sleep(1.5)
print("went on")
"""


@pytest.mark.parametrize(
    ("change", "code"),
    [("pass", 0), ("listening.close(); time.sleep(0.2); listening = head(port)", 0), ("listening.close()", 2)],
)
def test_a_head_that_goes_away_ends_the_job_with_one_line(change: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", JOB.replace("{change}", change)], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert (done.stdout == "went on\n") == (code == 0)
    assert done.stderr.count("\n") == (code == 2) and ("the same command goes on" in done.stderr) == (code == 2)
