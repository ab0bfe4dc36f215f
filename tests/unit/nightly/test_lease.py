"""One run at a time, whoever dies or sleeps."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from cxr.errors import BadInput, StoreError
from cxr.nightly.lease import LENGTH, Lease, LostLease, hold_lease, newest_token, prolong_until, take_lease
from cxr.store import Store
from tests.unit.nightly.conftest import silence

SHORT = timedelta(seconds=0.6)


def test_of_many_at_once_one_gets_it_and_the_others_hear_who(store: Store) -> None:
    start = threading.Barrier(8)

    def attempt(_: int) -> Lease | str:
        start.wait()
        try:
            return take_lease(store, LENGTH)
        except BadInput as error:
            return str(error)

    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(attempt, range(8)))
    leases = [found for found in got if isinstance(found, Lease)]
    assert len(leases) == 1 and leases[0].token == newest_token(store) == 1
    refused = [found for found in got if isinstance(found, str)]
    assert len(refused) == 7 and all(f"{leases[0].claim.holder} is at work here since 20" in line for line in refused)


def test_an_ended_lease_is_free_at_once_and_tokens_go_up(store: Store) -> None:
    for token in (1, 2, 3):
        with hold_lease(store) as lease:
            assert lease.token == token
            lease.check()


def test_a_lease_ends_also_when_the_work_goes_wrong(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), hold_lease(store):
        _ = 1 / 0
    assert take_lease(store, LENGTH).token == 2


def test_it_holds_for_as_long_as_its_holder_is_at_work(store: Store) -> None:
    with hold_lease(store, SHORT) as lease:
        time.sleep(2 * SHORT.total_seconds())
        with pytest.raises(BadInput, match="is at work here"):
            take_lease(store, SHORT)
        lease.check()


def test_that_of_a_dead_holder_runs_out(store: Store) -> None:
    dead = take_lease(store, SHORT)
    with pytest.raises(BadInput, match=r"until 20.* UTC if it is dead"):
        take_lease(store, SHORT)
    time.sleep(SHORT.total_seconds())
    assert take_lease(store, SHORT).token == dead.token + 1


def test_a_holder_that_was_overtaken_learns_it_and_disturbs_nobody(overtaken: tuple[Lease, Lease]) -> None:
    early, late = overtaken
    for attempt in (early.check, lambda: early.prolong(LENGTH)):
        with pytest.raises(LostLease, match=f"{late.claim.holder} took the lease over at 20"):
            attempt()
    assert early.lost.is_set() and not late.lost.is_set()
    early.end()
    late.check()
    with pytest.raises(BadInput, match="is at work here"):
        take_lease(late.store, LENGTH)


def test_beats_outlast_an_outage_and_stop_when_the_lease_is_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lease, answers = take_lease(store, LENGTH), [StoreError("down"), StoreError("down"), None, LostLease("gone")]
    heard = []

    def prolong(self: Lease, length: timedelta) -> None:
        heard.append(length)
        if answer := answers.pop(0):
            raise answer

    monkeypatch.setattr(Lease, "prolong", prolong)
    prolong_until(lease, timedelta(seconds=0.01), threading.Event())  # returns by itself
    assert len(heard) == 4


def test_a_silent_holder_that_nobody_overtook_goes_on(store: Store) -> None:
    lease = take_lease(store, LENGTH)
    silence(lease)
    lease.prolong(LENGTH)
    with pytest.raises(BadInput, match="is at work here"):
        take_lease(store, LENGTH)
