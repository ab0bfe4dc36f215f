"""A job's beginning and end, without Ray: constant pictures in place of the sampler's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr import recipes
from cxr.data.lineage import OF_PHANTOMS, PHANTOM
from cxr.data.prompt_lists import PromptRow
from cxr.generate.job import Job, Keep, begin, complete, prepare, provenance
from cxr.generate.plan import PlanReader
from cxr.store import open_store

ROWS = [PromptRow("clear lungs", "normal", "", 10, None)]


@pytest.fixture
def ready(tmp_path: Path, random_model: Path) -> Job:
    """Ten pictures in five units, planned."""
    config = recipes.changed(recipes.tiny(), model=str(random_model), size=64, batch=2)
    return prepare(open_store(str(tmp_path / "set")), config, ROWS, tmp_path, print)


def keep(ready: Job, *units: int) -> None:
    reader, keeper = PlanReader(ready.plan.path, 2), Keep(ready.store, "folder", provenance(ready))
    for unit in units:
        keeper(unit, reader.rows(unit), np.full((2, 64, 64), unit, np.uint8), "")


def test_what_is_stored_or_given_up_is_not_pending(ready: Job) -> None:
    begin(ready, retry_failed=False)
    keep(ready, 0, 3)
    ready.store.put("failed/00000001.json", b"{}")
    state = begin(ready, retry_failed=False)
    assert (state.pending.to_pylist(), state.failed, state.stored_images) == ([2, 4], {1}, 4)
    assert begin(ready, retry_failed=True).pending.to_pylist() == [1, 2, 4]


def test_a_run_whose_commits_another_has_swept_up_ends_with_the_others_record(ready: Job) -> None:
    begin(ready, retry_failed=False)
    keep(ready, 0, 1, 2, 3, 4)
    first = complete(ready, "CPU", {"total": 1.0})
    keep(ready, 3, 4)  # by a slower run of the same job
    assert complete(ready, "CPU", {"total": 2.0}) == first
    assert list(ready.store.list("commits/")) == []


@pytest.mark.parametrize(("lora", "promised"), [((), True), ((PHANTOM,), True), (("folder",), False)])
def test_record_and_card_tell_what_model_and_lora_learned_from(
    ready: Job, tmp_path: Path, lora: tuple, promised: bool
) -> None:
    model = replace(ready.model, sources=(PHANTOM,), seen=())
    ready = replace(ready, model=model, lora=replace(model, sources=lora, seen=("a",)) if lora else None)
    begin(ready, retry_failed=False)
    keep(ready, 0, 1, 2, 3, 4)
    record = complete(ready, "CPU", {"total": 1.0})
    assert record.metrics["sources"] == sorted({PHANTOM, *lora})
    card = (tmp_path / "set" / "README.md").read_text()
    assert ("None is of a patient." in card) == promised != ("run `jobs/evaluate.py` before" in card)
    assert OF_PHANTOMS in card
