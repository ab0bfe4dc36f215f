"""Nobody but the holder of the lease moves `latest`, at whatever moment others wake up."""

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.nightly.lease import LENGTH, Lease, LostLease, take_lease
from cxr.nightly.pointer import Pointer, close_earlier, move_latest, read_earlier, read_latest
from cxr.store import Store, open_store
from tests.unit.nightly.conftest import metrics, silence


def night_of(lease: Lease) -> str:
    return f"2026-11-{lease.token:02d}"


def commit(lease: Lease) -> bool:
    """Whether the holder could move the pointer to a night named after its lease."""
    try:
        move_latest(lease, Pointer(night=night_of(lease), metrics=metrics()))
    except LostLease:
        return False
    return True


def next_holder(store: Store) -> Lease:
    lease = take_lease(store, LENGTH)
    silence(lease)
    return lease


def test_there_is_none_at_first_and_then_the_newest_that_was_moved(store: Store) -> None:
    assert read_latest(store) == Pointer()
    for _ in range(3):
        lease = next_holder(store)
        close_earlier(lease)
        assert commit(lease)
        assert read_latest(store).night == night_of(lease) and read_latest(store).token == lease.token


def test_runs_that_move_nothing_leave_it_where_it_is(store: Store) -> None:
    lease = next_holder(store)
    close_earlier(lease)
    assert commit(lease)
    for _ in range(3):
        assert close_earlier(next_holder(store)).night == "2026-11-01"
    assert read_latest(store).night == "2026-11-01"


def test_a_holder_that_was_overtaken_cannot_commit(overtaken: tuple[Lease, Lease]) -> None:
    early, late = overtaken
    close_earlier(late)
    assert not commit(early)
    assert read_latest(early.store) == Pointer()
    assert commit(late)
    assert read_latest(early.store).night == night_of(late)


def test_a_commit_that_was_in_time_is_what_the_next_holder_begins_with(overtaken: tuple[Lease, Lease]) -> None:
    early, late = overtaken
    assert commit(early)
    assert close_earlier(late).night == night_of(early)


def test_a_holder_that_sleeps_before_its_first_act_learns_that_it_was_overtaken(store: Store) -> None:
    sleeper, late = next_holder(store), next_holder(store)
    close_earlier(late)
    with pytest.raises(LostLease):
        close_earlier(sleeper)


def test_of_a_commit_and_a_takeover_at_once_one_is_first_and_both_know_which(store: Store) -> None:
    for _ in range(20):
        before, early = read_latest(store), next_holder(store)
        close_earlier(early)
        late, start = next_holder(store), threading.Barrier(2)

        def at_once(act, start=start):
            start.wait()
            return act()

        with ThreadPoolExecutor(2) as threads:
            committed = threads.submit(at_once, lambda early=early: commit(early))
            seen = threads.submit(at_once, lambda late=late: close_earlier(late))
        assert seen.result().night == (night_of(early) if committed.result() else before.night)
        assert read_latest(store) == seen.result()


@settings(max_examples=25)
@given(st.permutations([0, 0, 1, 1, 2, 2]))
def test_in_any_order_the_pointer_never_goes_back(order: list[int]) -> None:
    """Three holders overtake each other; each closes what was before and commits, at any moment after."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        holders, closed, nights = [next_holder(store) for _ in range(3)], set(), [""]
        for number in order:
            holder = holders[number]
            if number not in closed:
                closed.add(number)
                try:
                    assert close_earlier(holder).night == nights[-1]
                except LostLease:
                    assert number < 2
            elif commit(holder):
                assert max(closed) == number  # no later one has begun
                nights.append(night_of(holder))
            assert read_latest(store).night == nights[-1]
        assert nights == sorted(nights)
        assert nights[-1] == night_of(holders[2])  # the last one is never kept from its work


def test_last_night_is_the_newest_that_passed_before(store: Store) -> None:
    assert read_earlier(store, "2026-11-01") == Pointer()
    for token in (1, 2, 3):
        lease = next_holder(store)
        close_earlier(lease)
        assert token == 2 or commit(lease)  # the second night fails its gate
    assert [read_earlier(store, f"2026-11-0{day}").night for day in (1, 2, 3, 4)] == [
        "", "2026-11-01", "2026-11-01", "2026-11-03"
    ]  # fmt: skip
