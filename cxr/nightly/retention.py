"""Old nights, and data and models that none of the others needs, are removed."""

from cxr.artifact.keys import RECORD_KEY
from cxr.nightly import report
from cxr.nightly.lease import Lease
from cxr.nightly.places import DATA, MODELS, NIGHTS
from cxr.nightly.pointer import Pointer
from cxr.store import Store


def remove_old_nights(lease: Lease, keep: int, date: str, latest: Pointer) -> list[str]:
    """Leaves the newest nights, this one and that of `latest`; returns the places that were removed.

    A night's pictures are listed to find it: a request for every thousand of them on S3.

    Raises:
        LostLease: a later run has taken over, whose night may need what would be removed.
    """
    store = lease.store
    nights = list_names(store, NIGHTS)
    kept = {*nights[-keep:], date, latest.night}
    needed = set().union(*(required_places(store, night) for night in kept & set(nights)))
    places = [f"{NIGHTS}{night}/" for night in nights if night not in kept]
    made_for_nights = (f"{folder}{name}/" for folder in (MODELS, DATA) for name in list_names(store, folder))
    places += [place for place in made_for_nights if place not in needed]
    for place in places:
        lease.check()
        remove_artifact(store, place)
    return places


def list_names(store: Store, prefix: str) -> list[str]:
    """The folders below a prefix, sorted."""
    return sorted({found.key.removeprefix(prefix).split("/")[0] for found in store.list(prefix)})


def required_places(store: Store, night: str) -> set[str]:
    """The places that a night was made of; none if it was not begun."""
    pinned = report.read_pinned_inputs(store, night)
    return {f"{DATA}{pinned['data']}/", f"{MODELS}{pinned['model']}/"} if pinned else set()


def remove_artifact(store: Store, place: str) -> None:
    """Records first, so that no reader finds one whose objects are gone."""
    keys = [found.key for found in store.list(place)]
    store.delete(key for key in keys if key.endswith(f"/{RECORD_KEY}"))
    store.delete(key for key in keys if not key.endswith(f"/{RECORD_KEY}"))
