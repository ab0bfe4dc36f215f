"""Units over actors: each comes out once, whatever happens to it or to the process it is in."""

import errno
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ray import cloudpickle

from cxr import cluster
from cxr.errors import BadInput, StoreError
from cxr.ranks import Ranks
from cxr.store import Store, open_store

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no worker can import a test module
pytestmark = pytest.mark.usefixtures("shared_ray")


@dataclass(frozen=True)
class Script:
    """Makes a maker whose units make trouble as `trouble` says; every attempt leaves a line in `log`."""

    log: Path
    trouble: dict[int, str]

    def __call__(self) -> "Script":
        return self

    def rows(self, unit: int) -> list[dict]:
        return [{"unit": unit, "row": row} for row in range(2)]

    def make(self, rows: list[dict]) -> np.ndarray:
        unit = rows[0]["unit"]
        with self.log.open("a") as log:
            log.write(f"{unit}\n")
        trouble, attempt = self.trouble.get(unit), self.attempts()[unit]
        if trouble == "refuses":
            raise BadInput(f"unit {unit}: no such weights")
        if trouble == "fills the disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/plan")
        if trouble == "always fails" or (trouble == "fails twice" and attempt <= 2):
            raise ValueError(f"attempt {attempt} failed")
        if trouble == "takes a while" and not self.log.with_name("hurry").exists():
            time.sleep(0.3)
        if trouble == "kills its process once" and attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full((2, 3, 5), unit, np.uint8)

    def attempts(self) -> Counter[int]:
        return Counter(int(line) for line in self.log.read_text().splitlines())


@dataclass(frozen=True)
class KeepIn:
    """Stores a unit under its number; may find the disk full, or be killed the first time, at one of them."""

    store: Store
    full_at: int = -1
    killed_at: int = -1

    def __call__(self, unit: int, rows: list[dict], pictures: np.ndarray | None, error: str) -> int:
        if unit == self.full_at:
            raise StoreError("disk full")
        if unit == self.killed_at and self.store.put_if_absent("killed", str(os.getpid()).encode()):
            os.kill(os.getpid(), signal.SIGKILL)
        data = error.encode() if pictures is None else pictures.tobytes()
        return self.store.put(f"{'failed' if pictures is None else 'made'}/{unit}", data).size


@dataclass(frozen=True)
class KeepSlowly:
    """Takes a while for each unit, and notes how many are being stored at that moment."""

    folder: Path

    def __call__(self, unit: int, rows: list[dict], pictures: np.ndarray | None, error: str) -> int:
        mine = self.folder / f"{unit}.busy"
        mine.touch()
        count = len(list(self.folder.glob("*.busy")))
        time.sleep(3)
        mine.unlink()
        return count


def picture(unit: int) -> bytes:
    return bytes([unit]) * 30


def run(script: Script, keeper: KeepIn | KeepSlowly, units: int) -> list[cluster.UnitDone]:
    return list(cluster.run_units(pa.array(range(units), pa.int32()), script, keeper, workers=2, threads=1))


@pytest.fixture(scope="module")
def troubled(tmp_path_factory) -> tuple[Script, Store, dict[int, cluster.UnitDone]]:
    """Ten units: one always fails, one fails twice, one kills its maker's process, one its keeper's."""
    folder = tmp_path_factory.mktemp("troubled")
    script = Script(folder / "log", {3: "always fails", 5: "fails twice", 7: "kills its process once"})
    store = open_store(str(folder / "store"))
    done = run(script, KeepIn(store, killed_at=1), 10)
    assert sorted(d.unit for d in done) == list(range(10))
    return script, store, {d.unit: d for d in done}


def test_every_unit_but_the_failing_one_is_stored(troubled):
    _, store, done = troubled
    assert {key: store.get(key) for key, _ in store.list("made/")} == {
        f"made/{unit}": picture(unit) for unit in range(10) if unit != 3
    }
    assert all(d.error == "" and (d.images, d.bytes) == (2, 30) for unit, d in done.items() if unit != 3)


def test_a_unit_that_fails_by_itself_is_tried_three_times_and_handed_on_with_its_error(troubled):
    script, store, done = troubled
    assert script.attempts()[3] == 3
    assert done[3].error == "ValueError: attempt 3 failed" and done[3].images == 0
    assert store.get("failed/3") == b"ValueError: attempt 3 failed"
    assert script.attempts()[5] == 3 and done[5].error == ""


def test_dead_processes_cost_only_what_they_had_in_hand(troubled):
    script, store, _ = troubled
    assert store.exists("killed")
    attempts = script.attempts()
    assert attempts[7] == 2
    assert sum(attempts.values()) - (10 + 2 + 2 + 1) <= 2  # units in the dying maker's queue may be made again


@dataclass(frozen=True)
class Together:
    """A trial that two workers train; may fail whenever it is tried."""

    name: str
    fails: bool

    def __call__(self, tell: cluster.SendMessage) -> None:
        if self.fails:
            raise ValueError("out of memory")
        tell({"name": self.name})


@pytest.mark.slow
def test_a_trial_of_several_workers_that_always_fails_is_told_and_the_next_goes_on():
    told = list(cluster.train_trials([Together("first", True), Together("second", False)], 2, 1))
    assert told[0]["trial"] == 0 and "ValueError: out of memory" in told[0]["error"]
    assert told[1:] == [{"name": "second"}] * 2


@pytest.mark.parametrize(
    ("trouble", "keeper", "error"),
    [
        ({6: "refuses"}, {}, BadInput("unit 6: no such weights")),
        pytest.param(
            *({6: "fills the disk"}, {}, StoreError("/tmp/plan: disk full; free space and run the same command again")),
            marks=pytest.mark.slow,
        ),
        pytest.param({}, {"full_at": 6}, StoreError("disk full"), marks=pytest.mark.slow),
    ],
)
def test_what_no_retry_can_mend_ends_the_run_and_keeps_what_is_stored(trouble, keeper, error, tmp_path):
    script, store = Script(tmp_path / "log", trouble), open_store(str(tmp_path / "store"))
    with pytest.raises(type(error), match=f"^{error}$"):
        run(script, KeepIn(store, **keeper), 12)
    made = {key: store.get(key) for key, _ in store.list()}
    assert made and all(made[key] == picture(int(key[5:])) for key in made) and "made/6" not in made
    assert script.attempts()[6] == 1


@pytest.mark.slow
def test_workers_that_are_killed_again_and_again_end_the_training_with_a_reason(tmp_path):
    def work(tell: cluster.SendMessage) -> None:
        tell({"attempt": 1})
        os.kill(os.getpid(), signal.SIGKILL)

    before, told = cluster.COMPUTE_USAGE.retries, []
    with pytest.raises(cluster.WorkersDied, match="the workers died 4 times"):
        told.extend(cluster.train(work, (1, 1), 1))
    assert cluster.COMPUTE_USAGE.retries - before == 3
    assert cluster.COMPUTE_USAGE.summary(62.4).endswith(f"{before + 3} tried again")


def test_the_last_line_says_nothing_of_what_was_not_there():
    assert type(cluster.COMPUTE_USAGE)().summary(62.4) == "in 62 s"
    assert (
        type(cluster.COMPUTE_USAGE)(gpu_seconds=300, retries=2).summary(7200)
        == "in 2 hours, 5 min of GPU time, 2 tried again"
    )


def test_cpu_time_is_told_where_no_gpu_worked():
    used = type(cluster.COMPUTE_USAGE)()
    used.add(1800, cpus=4, gpus=0)
    assert used.summary(2000) == "in 33 min, 2 hours of CPU time"


@pytest.mark.slow
def test_training_begins_with_fewer_workers_where_there_is_no_room_for_all():
    def work(tell: cluster.SendMessage) -> None:
        tell({"size": Ranks.here().size})

    most = 2 + cluster.worker_cpus()
    told = list(cluster.train(work, (1, most), 1))
    assert len(told) == told[0]["size"] < most
    with pytest.raises(BadInput, match=f"--workers {most}: .* room for"):
        list(cluster.train(work, (most, most), 1))


def test_a_slow_store_does_not_fill_the_machine_with_processes(tmp_path):
    script, folder = Script(tmp_path / "log", {}), tmp_path / "store"
    folder.mkdir()
    done = run(script, KeepSlowly(folder), 8)
    assert len(done) == 8
    assert 2 <= max(unit.bytes for unit in done) <= 2 * 2


def test_what_is_made_is_stored_while_the_rest_is_made_and_no_cpu_is_to_spare(tmp_path):
    script, store = Script(tmp_path / "log", dict.fromkeys(range(100), "takes a while")), open_store(str(tmp_path))
    done = cluster.run_units(pa.array(range(100), pa.int32()), script, KeepIn(store), cluster.worker_cpus(), 1)
    next(done)
    assert script.attempts().total() < 50
    (tmp_path / "hurry").touch()
    assert len(list(done)) == 99


def test_rows_that_are_too_much_for_memory_together_go_to_the_workers_in_parts(monkeypatch):
    monkeypatch.setattr(cluster.unit_stages, "MAX_ROW_BYTES", 10)
    sizes = [4, 6, 1, 12, 8]
    assert [[unit for unit, _ in part] for part in cluster.unit_stages.batches_by_bytes(given(sizes), 10)] == [
        [0, 1],
        [2],
        [3],
        [4],
    ]
    told = list(cluster.run_rows(given(sizes), lambda unit, rows: {"unit": unit, "bytes": len(rows)}, 2))
    assert [one["bytes"] for one in sorted(told, key=lambda one: one["unit"])] == sizes


def given(sizes: list[int]) -> Iterator[tuple[int, bytes]]:
    return ((unit, bytes(size)) for unit, size in enumerate(sizes))
