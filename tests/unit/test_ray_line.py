"""Of what the process says on stderr while Ray starts, one line is kept back. Ray is not started."""

import os

import pytest

from cxr.cluster.session import hide_log_level_line

LINE = b"[2026-11-28 05:52:14,9 I 1 1] logging.cc:303: Set ray log level from environment variable RAY_B to 3\n"


def test_all_but_rays_line_on_its_level_comes_through_in_order(capfd: pytest.CaptureFixture) -> None:
    os.write(2, b"before\n")
    with hide_log_level_line():
        os.write(2, LINE + b"ray: /dev/shm is small\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nray: /dev/shm is small\nafter\n"


def test_what_was_said_before_a_failure_comes_through(capfd: pytest.CaptureFixture) -> None:
    def fail() -> None:
        with hide_log_level_line():
            os.write(2, LINE + b"no port is free")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert capfd.readouterr().err == "no port is free"
