"""Steps are run once, and end with whoever runs them."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cxr.artifact import Made, Record, commit_record, recipe_digest
from cxr.errors import BadInput
from cxr.nightly import steps
from cxr.nightly.lease import LENGTH, Lease, LostLease, take_lease
from cxr.nightly.steps import StepFailed, ensure_step, run_step
from cxr.store import Store


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_step_that_is_done_is_not_run_again(store: Store) -> None:
    record = Record(kind="set", recipe={}, recipe_digest=recipe_digest({}), made=Made(count=0, bytes=0, digest=""),
                    objects=[])  # fmt: skip
    commit_record(store, record)
    assert ensure_step(take_lease(store, LENGTH), "ingest", store, python("raise SystemExit(1)")) == record


@pytest.mark.parametrize(
    ("code", "ended", "exit_code"),
    [
        ("raise SystemExit(2)", "the step generate ended with exit code 2", 2),
        ("raise SystemExit(3)", "the step generate ended with exit code 3", 3),
        ("import os; os.kill(os.getpid(), 9)", "the step generate was killed by signal 9", 1),
    ],
)
def test_a_step_that_fails_says_how(store: Store, code: str, ended: str, exit_code: int) -> None:
    with pytest.raises(StepFailed, match=ended) as caught:
        run_step(take_lease(store, LENGTH), "generate", python(code))
    assert caught.value.code == exit_code


def test_a_step_that_leaves_nothing_is_told(store: Store) -> None:
    with pytest.raises(BadInput, match="--generate: left nothing in"):
        ensure_step(take_lease(store, LENGTH), "generate", store, python("pass"))


def children() -> set[psutil.Process]:
    """Of this process, which may have those of other tests too, such as a Ray."""
    return set(psutil.Process().children())


def test_a_step_is_ended_when_the_lease_is_lost(overtaken: tuple[Lease, Lease]) -> None:
    early, _ = overtaken
    before = children()
    early.lost.set()
    start = time.monotonic()
    with pytest.raises(LostLease):
        run_step(early, "finetune", python("import time; time.sleep(60)"))
    assert time.monotonic() - start < 30
    assert not any(child.is_running() for child in children() - before)


class Interrupted:
    """Ctrl-C, or SIGTERM, as soon as the step has begun: in place of waiting for the lease to be lost."""

    def __init__(self, begun: Path) -> None:
        self.begun = begun

    def wait(self, seconds: float) -> bool:
        if self.begun.exists():
            raise KeyboardInterrupt
        time.sleep(seconds)
        return False


@pytest.mark.parametrize("answer", ["time.sleep(0.3); raise SystemExit", "pass"], ids=["takes a while", "does not end"])
def test_an_interrupt_returns_only_when_the_step_has_ended(store: Store, tmp_path: Path, monkeypatch, answer: str):
    """Before that it would still store, and the lease would be another's."""
    monkeypatch.setattr(steps, "TO_END", 1.5)
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    code = f"""
import pathlib, signal, time

def stop(*_):
    {answer}

signal.signal(signal.SIGTERM, stop)
pathlib.Path({str(begun)!r}).touch()
try:
    time.sleep(60)
finally:
    pathlib.Path({str(ended)!r}).touch()
"""
    lease, before = replace(take_lease(store, LENGTH), lost=Interrupted(begun)), children()
    with pytest.raises(KeyboardInterrupt):
        run_step(lease, "generate", python(code))
    assert not any(child.is_running() for child in children() - before)
    assert ended.exists() == (answer != "pass")
