"""Lease, pointer and retention on a real S3 server."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cxr.errors import BadInput
from cxr.nightly.lease import LENGTH, LostLease, hold_lease, take_lease
from cxr.nightly.places import below
from cxr.nightly.pointer import Pointer, close_earlier, move_latest, read_latest
from cxr.nightly.retention import remove_artifact
from cxr.store import Store, open_store
from tests.integration.test_nightly import let_run_out


@pytest.fixture
def store(s3) -> Store:
    return open_store(f"s3://{s3.make_bucket()}/all/nights")


def test_of_many_at_once_one_gets_the_lease(store):
    start = threading.Barrier(6)

    def attempt(_: int) -> bool:
        start.wait()
        try:
            return bool(take_lease(store, LENGTH))
        except BadInput as error:
            assert "is at work here since" in str(error)
            return False

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(attempt, range(6))) == 1


def test_only_the_holder_moves_latest(store):
    early = take_lease(store, LENGTH)
    close_earlier(early)
    let_run_out(store)
    with hold_lease(store) as late:
        assert close_earlier(late) == Pointer()
        with pytest.raises(LostLease):
            move_latest(early, Pointer(night="2026-11-01"))
        move_latest(late, Pointer(night="2026-11-02"))
    assert read_latest(store).night == "2026-11-02"
    assert take_lease(store, LENGTH).token == late.token + 1  # ended, so free at once


def test_of_a_commit_and_a_takeover_at_once_both_know_which_was_first(store):
    for race in range(10):
        before, early = read_latest(store), take_lease(store, LENGTH)
        close_earlier(early)
        let_run_out(store)
        late, start = take_lease(store, LENGTH), threading.Barrier(2)

        def commit(early=early, night=f"2026-11-{race + 1:02d}", start=start) -> str:
            start.wait()
            try:
                move_latest(early, Pointer(night=night))
            except LostLease:
                return ""
            return night

        with ThreadPoolExecutor(1) as thread:
            committed = thread.submit(commit)
            start.wait()
            seen = close_earlier(late).night
        assert seen == read_latest(store).night == (committed.result() or before.night)
        late.end()


def test_a_night_is_removed_with_its_record_first(s3, store):
    place = below(store, "nights/2026-11-01")
    for key in ("set/record.json", "set/images/a.png", "report/record.json", "report/report.json"):
        place.put(key, b"{}")
    store.put("nights/2026-11-02/set/record.json", b"{}")
    remove_artifact(store, "nights/2026-11-01/")
    assert [found.key for found in store.list("nights/")] == ["nights/2026-11-02/set/record.json"]
