"""`latest`: which night readers should take, moved in one conditional write by nobody but the holder of the lease.

Every lease has one object, `latest/<token>.json`, that can be written once; the highest one is the pointer. A holder
first closes the earlier leases: into each that wrote nothing it copies the pointer as it was before. From then on a
holder that was overtaken finds its object taken, whenever it wakes up: between a check and a write there is no moment.

Where an endpoint ignores conditional writes (`cxr.store.capabilities` warns), two runs that overlap are not kept apart.
"""

from cxr.artifact import listed_units, unit_key
from cxr.nightly.gate import Frozen, GateMetrics
from cxr.nightly.lease import Lease, LostLease
from cxr.nightly.places import LATEST
from cxr.store import Store


class Pointer(Frozen):
    """A night that passed its gate."""

    night: str = ""  # ISO date; none has passed yet: empty, and so is what follows
    token: int = 0  # of the lease under which it was moved here
    set: str = ""  # key prefixes below the same root
    data: str = ""
    model: str = ""
    metrics: GateMetrics | None = None


def read_latest(store: Store) -> Pointer:
    """The pointer; its night is empty if none has passed yet."""
    return _read(store, max(listed_units(store, LATEST), default=0))


def close_earlier(lease: Lease) -> Pointer:
    """A holder's first act: makes commits of earlier holders impossible, and returns the pointer.

    Raises:
        LostLease: a later holder has done so to this one.
    """
    newest = max(listed_units(lease.store, LATEST), default=0)
    pointer = _read(lease.store, newest)
    for token in range(newest + 1, lease.token):
        if not _write_once(lease.store, token, pointer):
            pointer = _read(lease.store, token)  # its holder, or another who closed it, was just in time
    lease.check()
    return pointer


def move_latest(lease: Lease, pointer: Pointer) -> None:
    """Makes this the pointer.

    Raises:
        LostLease: a later run has taken over; the pointer stays.
    """
    if not _write_once(lease.store, lease.token, pointer.model_copy(update={"token": lease.token})):
        raise LostLease(f"{lease.store.uri}: a later run has taken over and closed this one's commit; latest stays")


def read_earlier(store: Store, date: str) -> Pointer:
    """The pointer as it was before this night: the newest earlier night that passed, or none."""
    token = max(listed_units(store, LATEST), default=0)
    while (pointer := _read(store, token)).night >= date:
        token = pointer.token - 1
    return pointer


def _read(store: Store, token: int) -> Pointer:
    return Pointer.model_validate_json(store.get(unit_key(LATEST, token))) if token else Pointer()


def _write_once(store: Store, token: int, pointer: Pointer) -> bool:
    return store.put_if_absent(unit_key(LATEST, token), pointer.model_dump_json().encode())
