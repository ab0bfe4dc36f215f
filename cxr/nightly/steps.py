"""A night's steps are the other jobs, each in a process of its own: with its memory, and with its way to go on."""

import contextlib
import subprocess
import sys
from collections.abc import Sequence

from cxr.artifact import Record, read_record
from cxr.errors import BadInput
from cxr.nightly.lease import Lease
from cxr.progress import note
from cxr.store import Store

POLL = 0.2  # seconds between two looks at a step
TO_END = 20  # seconds that a step has to end by itself; Ray gives the night's own process 30


class StepFailed(Exception):
    """A step ended with this exit code; what it said is on stderr."""

    def __init__(self, name: str, code: int) -> None:
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        super().__init__(f"the step {name} {ended}")
        self.code = max(code, 1)


def ensure_step(lease: Lease, name: str, place: Store, command: Sequence[str]) -> Record:
    """The record of a step's artifact; runs the step unless it is there.

    Raises:
        StepFailed: the step did not succeed.
        LostLease: a later run has taken over; the step is ended.
        BadInput: the step left nothing, as a dry run does.
    """
    record = read_record(place)
    if record is None:
        note(f"{name} into {place.uri}")
        run_step(lease, name, command)
        record = read_record(place)
    if record is None:
        raise BadInput(f"--{name}: left nothing in {place.uri}; leave out the option that kept it from its work")
    return record


def run_step(lease: Lease, name: str, command: Sequence[str]) -> None:
    """In a session of its own, so that Ctrl-C reaches it once: from here. What it prints goes to stderr."""
    with subprocess.Popen(command, stdout=sys.stderr, start_new_session=True) as step:
        try:
            while step.poll() is None:
                if lease.lost.wait(POLL):
                    lease.check()
        finally:
            end_step(step)
    if step.returncode:
        raise StepFailed(name, step.returncode)


def end_step(step: subprocess.Popen) -> None:
    """Returns when the step stores nothing any more: the lease is given back next. A second Ctrl-C ends it at once."""
    step.terminate()  # nothing to one that has ended
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        step.wait(TO_END)
    step.kill()
    step.wait()
