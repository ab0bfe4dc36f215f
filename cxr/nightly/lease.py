"""One run at a time: numbered leases, each taken in one conditional write.

`lease/<token>.json` says who took it, when, and until when it holds; the highest token counts. Its holder prolongs it
while it works, so that of a dead holder it runs out. Clocks decide only when a lease is free: where they are wrong by
more than its length a second run may begin too early, but a run that was overtaken can never commit (pointer.py).
Leases are never deleted, so that no token is given twice: an object of 200 bytes a run.
"""

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from cxr.artifact import listed_units, unit_key
from cxr.errors import BadInput, StoreError
from cxr.nightly.places import LEASES
from cxr.store import Store

LENGTH = timedelta(minutes=3)
BEATS = 6  # prolongations within a length: five may fail


class LostLease(StoreError):
    """A later run has taken over; this one must not commit."""


class Claim(BaseModel):
    """What a lease's object stores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holder: str  # host and process
    nonce: str  # tells two claims of one token apart
    since: datetime
    until: datetime

    def json_bytes(self) -> bytes:
        return self.model_dump_json().encode()


@dataclass(frozen=True)
class Lease:
    """A lease that this process has taken; `lost` is set when it is known to be another's."""

    store: Store
    token: int
    claim: Claim
    lost: threading.Event = field(default_factory=threading.Event, compare=False)

    def check(self) -> None:
        """Raises `LostLease` if a later run has taken over."""
        newest = newest_token(self.store)
        if newest != self.token:
            self.lost.set()
            claim = read_claim(self.store, newest)
            raise LostLease(
                f"{self.store.uri}: {claim.holder} took the lease over at {format_time(claim.since)}, because this run "
                "was silent for too long; latest is theirs to move"
            )

    def prolong(self, length: timedelta) -> None:
        """Raises `LostLease` as `check` does."""
        self.check()
        self._write(now() + length)

    def end(self) -> None:
        """Frees the lease for the next run, if it is still this one's."""
        with contextlib.suppress(StoreError):  # then it runs out
            self.check()
            self._write(now())

    def _write(self, until: datetime) -> None:
        """Only its holder writes a lease again, so that a plain write does."""
        self.store.put(unit_key(LEASES, self.token), self.claim.model_copy(update={"until": until}).json_bytes())


@contextlib.contextmanager
def hold_lease(store: Store, length: timedelta = LENGTH) -> Iterator[Lease]:
    """Takes the lease, prolongs it from a thread, and ends it.

    Raises:
        BadInput: another run holds it.
    """
    lease, done = take_lease(store, length), threading.Event()
    thread = threading.Thread(target=prolong_until, args=(lease, length, done), daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
        lease.end()


def take_lease(store: Store, length: timedelta) -> Lease:
    """The next lease; raises as `hold_lease`."""
    newest, start = newest_token(store), now()
    if newest:
        claim = read_claim(store, newest)
        if claim.until > start:
            raise BadInput(
                f"{store.uri}: {claim.holder} is at work here since {format_time(claim.since)}; wait for its end, or "
                f"until {format_time(claim.until)} if it is dead"
            )
    claim = Claim(holder=f"{socket.gethostname()}:{os.getpid()}", nonce=uuid.uuid4().hex, since=start,
                  until=start + length)  # fmt: skip
    if not store.put_if_absent(unit_key(LEASES, newest + 1), claim.json_bytes()):
        return take_lease(store, length)  # another was faster: says who
    return Lease(store, newest + 1, claim)


def prolong_until(lease: Lease, length: timedelta, done: threading.Event) -> None:
    while not done.wait(length.total_seconds() / BEATS):
        try:
            lease.prolong(length)
        except LostLease:
            return
        except StoreError:
            continue  # an outage: the next one may succeed


def newest_token(store: Store) -> int:
    """The highest token that was taken; 0 if none was."""
    return max(listed_units(store, LEASES), default=0)


def read_claim(store: Store, token: int) -> Claim:
    return Claim.model_validate_json(store.get(unit_key(LEASES, token)))


def now() -> datetime:
    return datetime.now(UTC)


def format_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
