"""Progress off a terminal: few plain lines on stderr, true numbers, the last one always."""

import pytest

from cxr import progress as module
from cxr.progress import progress


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(module, "time", clock := Clock())
    return clock


def test_lines_come_seconds_apart_and_the_last_when_all_is_done(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    with progress("generate", 100, "images") as advance:
        for _ in range(100):
            clock.now += 1
            advance()
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[0] == "generate: 10/100 images, 1/s, 0:01:30 left"
    assert lines[-1] == "generate: 100/100 images, 1/s, 0:00:00 left"
    assert len(lines) == 10


def test_what_was_done_before_counts_as_done_but_not_for_the_rate(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    with progress("generate", 100, "images", done=80) as advance:
        clock.now += 10
        advance(5, "2 units failed")
    assert capsys.readouterr().err.endswith("\ngenerate: 85/100 images, 0.5/s, 0:00:30 left 2 units failed\n")


def test_a_rate_of_nothing_is_no_crash(clock: Clock, capsys: pytest.CaptureFixture) -> None:
    with progress("generate", 8, "images") as advance:
        clock.now += 60
        advance(0, "1 units failed")
    assert capsys.readouterr().err == "generate: 0/8 images, 0/s, ? left 1 units failed\n"


def test_a_bar_on_a_terminal_shows_the_count(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress("generate", 4, "images") as advance:
        advance(4, "a note")
    said = capsys.readouterr()
    assert said.out == ""
    assert "4/4" in said.err and "a note" in said.err


@pytest.mark.parametrize("done", [0, 3])
def test_a_job_that_goes_on_says_how_much_was_there(capsys: pytest.CaptureFixture, done: int) -> None:
    with progress("generate", 5, "images", done):
        pass
    assert ("note: generate goes on: 3 of 5 images are there already\n" in capsys.readouterr().err) == bool(done)
