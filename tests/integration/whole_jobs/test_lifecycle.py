"""Another driver finishes the same artifact: every job ends with its record, and the place is as that record says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from cxr.artifact import Artifact, Made, Record, read_record, verify
from cxr.artifact.keys import PLAN_KEY, RECORD_KEY
from cxr.errors import BadInput
from cxr.store.local import LocalStore
from tests.integration.whole_jobs.conftest import Operation, Prepare, WatchedStore

pytestmark = pytest.mark.usefixtures("unrendered")
LONG = ("ingest", "finetune", "evaluate", "gan")  # jobs
JOBS = (*LONG, "generate", "filter", "quarantine", "study")


@dataclass(frozen=True)
class Finished:
    """An artifact that one driver made alone, and what it did to the store in turn."""

    store: LocalStore
    record: Record
    operations: list[Operation]
    scratch: tuple[str, ...]

    def land(self, store: LocalStore) -> None:
        """Another driver of the same job ends its work in `store`: whole artifact, record last, scratch swept."""
        for key in sorted((found.key for found in self.store.list()), key=lambda key: key == RECORD_KEY):
            store.put(key, self.store.get(key))
        store.delete([found.key for prefix in self.scratch for found in store.list(prefix)])

    def moment(self, name: str) -> int:
        """The number of the operation before which the other driver is done."""
        puts = {n: key for n, (operation, key) in enumerate(self.operations) if "put" in operation}
        works = [n for n, key in puts.items() if key not in (PLAN_KEY, RECORD_KEY)]
        works = [n for n in works if puts[n].startswith(self.scratch)] or works  # what is swept, where something is
        return {
            "it begins to work": works[0],
            "it works": works[-1],
            "it has worked": works[-1] + 1,
            "it completes": self.operations.index(("read_back", PLAN_KEY)),
            "it commits": self.operations.index(("put_if_absent", RECORD_KEY)),
        }[name]


@pytest.fixture(scope="module")
def finished(prepare: Prepare, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    store = WatchedStore(tmp_path_factory.mktemp("first") / "out")
    driver = prepare(store, 1.0)
    store.seen.clear()
    record = driver.artifact.make(driver.work)
    return Finished(LocalStore(store.root), record, store.seen, driver.artifact.scratch)


@pytest.mark.parametrize("prepare", JOBS, indirect=True, scope="module")
@pytest.mark.parametrize("moment", ["it works", "it completes"])
def test_a_driver_that_is_overtaken_ends_with_the_record_of_the_other(
    prepare: Prepare, finished: Finished, tmp_path: Path, moment: str
) -> None:
    overtake(prepare, finished, tmp_path, moment)


@pytest.mark.parametrize(
    "prepare",
    [pytest.param(job, marks=pytest.mark.slow) if job in LONG else job for job in JOBS],
    indirect=True,
    scope="module",
)
@pytest.mark.parametrize("moment", ["it begins to work", "it has worked", "it commits"])
def test_so_does_one_that_is_overtaken_at_another_moment(
    prepare: Prepare, finished: Finished, tmp_path: Path, moment: str
) -> None:
    overtake(prepare, finished, tmp_path, moment)


def overtake(prepare: Prepare, finished: Finished, place: Path, moment: str) -> None:
    waiting: list[int] = []

    def before(number: int) -> None:
        if number in waiting:
            waiting.remove(number)
            finished.land(LocalStore(place))

    store = WatchedStore(place, before)
    driver = prepare(store, 2.0)
    store.seen.clear()
    waiting.append(finished.moment(moment))
    assert driver.artifact.make(driver.work) == finished.record, "theirs, which took another time"
    assert not waiting and verify(LocalStore(place)).clean, "nothing is left over, and nothing differs"


class Drawing(Artifact):
    kind = "drawing"
    scratch = ("commits/",)


def drawing(folder: Path, recipe: str = "a") -> Drawing:
    return Drawing(LocalStore(folder), {"of": recipe})


def drawn(artifact: Drawing) -> Callable[[], Record]:
    def work() -> Record:
        artifact.begin(pa.table({"line": [1]}))
        artifact.store.put("commits/0.json", b"")
        objects = [artifact.store.read_back(PLAN_KEY), artifact.store.put("drawing.png", b"x")]
        return artifact.new_record(Made.of(objects), objects, {}, inputs={})

    return work


def test_an_artifact_is_made_once_and_swept(tmp_path: Path) -> None:
    ours = drawing(tmp_path)
    assert ours.take_finished() is None
    record = ours.make(drawn(ours))
    assert record == read_record(ours.store) == ours.take_finished() and verify(ours.store).clean


def test_what_a_killed_driver_left_after_another_had_finished_is_swept(tmp_path: Path) -> None:
    ours = drawing(tmp_path)
    ours.make(drawn(ours))
    ours.store.put("commits/1.json", b"late")
    assert ours.take_finished() and verify(ours.store).clean


def test_a_failure_is_told_where_nobody_has_finished(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        drawing(tmp_path).make(lambda: 1 / 0)
    assert read_record(LocalStore(tmp_path)) is None


@pytest.mark.parametrize("fails", [False, True])
def test_another_recipe_that_is_finished_meanwhile_is_refused(tmp_path: Path, fails: bool) -> None:
    ours, theirs = drawing(tmp_path), drawing(tmp_path, "b")

    def work() -> Record:
        record = drawn(ours)()
        other = drawn(theirs)
        ours.store.delete([PLAN_KEY])
        theirs.make(other)
        return ours.make(lambda: 1 / 0) if fails else record

    with pytest.raises(BadInput, match="holds another recipe's artifact"):
        ours.make(work)
