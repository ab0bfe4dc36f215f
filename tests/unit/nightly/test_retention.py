"""What is removed, in which order, and what never is."""

import pytest

from cxr.nightly import report
from cxr.nightly.lease import LENGTH, Lease, LostLease, take_lease
from cxr.nightly.pointer import Pointer
from cxr.nightly.retention import remove_artifact, remove_old_nights
from cxr.store import Store
from cxr.store.local import LocalStore
from tests.unit.nightly.conftest import CONFIG

LATEST = Pointer(night="2026-11-01")


@pytest.fixture
def nights(store: Store) -> Store:
    """Five nights; the first two share data and model, the others have their own."""
    for day in range(1, 6):
        made_of = max(day, 2)
        data, model = f"d{made_of}", f"m{made_of}"
        report.begin(store, CONFIG, f"2026-11-0{day}", data, model)
        for key in (f"data/{data}/", f"models/{model}/", f"nights/2026-11-0{day}/set/"):
            store.put(f"{key}images/a.png", b"picture")
            store.put(f"{key}record.json", b"{}")
    store.put("trend/nights/2026-11-02.json", b"{}")
    return store


def tops(store: Store) -> list[str]:
    return sorted({"/".join(found.key.split("/")[:2]) for found in store.list() if not found.key.startswith("lease")})


def test_old_nights_go_with_what_only_they_needed(nights: Store) -> None:
    removed = remove_old_nights(take_lease(nights, LENGTH), 2, "2026-11-05", LATEST)
    assert removed == ["nights/2026-11-02/", "nights/2026-11-03/", "models/m3/", "data/d3/"]
    assert tops(nights) == [
        "data/d2", "data/d4", "data/d5", "models/m2", "models/m4", "models/m5",
        "nights/2026-11-01", "nights/2026-11-04", "nights/2026-11-05", "trend/nights",
    ]  # fmt: skip  # that of latest is there, and what it was made of


def test_with_room_for_all_nothing_goes(nights: Store) -> None:
    before = tops(nights)
    assert remove_old_nights(take_lease(nights, LENGTH), 5, "2026-11-05", LATEST) == []
    assert tops(nights) == before


def test_tonight_stays_even_if_it_is_not_among_the_newest(nights: Store) -> None:
    remove_old_nights(take_lease(nights, LENGTH), 1, "2026-11-03", LATEST)
    assert {"nights/2026-11-01", "nights/2026-11-03", "nights/2026-11-05"} < set(tops(nights))
    assert "nights/2026-11-04" not in tops(nights)


def test_data_that_no_night_was_begun_with_goes(nights: Store) -> None:
    nights.put("data/half/plan.parquet", b"of a run that died")
    assert remove_old_nights(take_lease(nights, LENGTH), 5, "2026-11-05", LATEST) == ["data/half/"]


def test_records_go_first(nights: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, delete = [], LocalStore.delete

    def recorded(self, keys):
        keys = list(keys)
        gone.extend(keys)
        delete(self, keys)

    monkeypatch.setattr(LocalStore, "delete", recorded)
    remove_artifact(nights, "nights/2026-11-03/")
    assert gone[0] == "nights/2026-11-03/set/record.json"
    assert set(gone[1:]) == {"nights/2026-11-03/set/images/a.png", "nights/2026-11-03/report/plan.parquet"}


def test_a_run_that_was_overtaken_removes_nothing(nights: Store, overtaken: tuple[Lease, Lease]) -> None:
    before = tops(nights)
    with pytest.raises(LostLease):
        remove_old_nights(overtaken[0], 1, "2026-11-05", LATEST)
    assert tops(nights) == before
