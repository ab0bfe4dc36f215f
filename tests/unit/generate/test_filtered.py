"""A filtered set: verdicts in place of a judge's, constant pictures in place of the sampler's."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr import recipes
from cxr.artifact import Record, unit_key, verify
from cxr.artifact.metrics import FilterMetrics
from cxr.data.candidates import (
    CANDIDATES,
    VERDICT,
    VERDICTS,
    FilterConfig,
    read_candidates,
    refused_rows,
    warn_of_choice,
)
from cxr.data.catalog import CATALOG, CatalogSet, read_set
from cxr.data.lineage import hashed_id
from cxr.data.lineage_key import owner_key
from cxr.errors import BadInput
from cxr.evaluate.judge import without_test_part
from cxr.generate.config import GenerateConfig
from cxr.generate.filtered import count_accepted
from cxr.generate.job import GenerateJob, UnitWriter, begin, complete, prepare, provenance
from cxr.generate.plan import PlanReader
from cxr.store import open_store, parquet

# Of each unit of two, and of each finding three units: its second unit ends the set.
ACCEPTED = {0: (True, False), 1: (False, True), 2: (True, True), 3: (False, True), 4: (True, True), 5: (True, False)}


def draw_judge(stored_set) -> CatalogSet:
    """The real pictures that pictures are judged by."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32), dtype=np.uint8)
    split = ["train"] * 4 + ["validation"] * 2 + ["test"] * 2
    patients = [f"p{row}" for row in range(8)]
    return stored_set("judge", pixels, finding=["normal", "pneumonia"] * 4, patient_id=patients, split=split)


def filter_config(model: Path) -> GenerateConfig:
    """At most six pictures of each of two findings in units of two, two of which are wanted."""
    return recipes.replace_fields(
        recipes.tiny(), model=str(model), size=64, batch=2, findings="Normal_Anatomy,Medical_Devices",
        filter={"accept": "label,copies", "quota": 2, "tries": 3},
    ).with_candidates  # fmt: skip


@pytest.fixture(scope="module")
def real(stored_set) -> CatalogSet:
    return draw_judge(stored_set)


@pytest.fixture
def ready(tmp_path: Path, random_model: Path, real: CatalogSet) -> GenerateJob:
    store, judge = open_store(str(tmp_path / "set")), without_test_part(real)
    return prepare(store, filter_config(random_model), None, tmp_path, lambda line: None, judge, "e" * 64)


def store_units(ready: GenerateJob, *units: int) -> None:
    reader, writer = PlanReader(ready.plan.path, 2), UnitWriter(ready.store, "folder", provenance(ready))
    for unit in units:
        rows = reader.rows(unit)
        writer(unit, rows, np.full((2, 64, 64), unit, np.uint8), "")
        told = {
            "image_id": [row["image_id"] for row in rows],
            "accepted": ACCEPTED[unit],
            "reason": [None if accepted else "copies" if unit else "label" for accepted in ACCEPTED[unit]],
            **{name: [0.5, None] for name in ("probability", "distance", "likeness", "parts")},
            "features": [[float(unit), 0.0], [float(unit), 1.0]],
        }
        ready.store.put(unit_key(VERDICTS, unit, ".parquet"), parquet(pa.table(told, schema=VERDICT)))


def finish(ready: GenerateJob, *units: int) -> Record:
    begin(ready, retry_failed=False)
    store_units(ready, *units)
    return ready.make(lambda: complete(ready, "CPU", {"total": 1.0}))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_catalog_has_accepted_pictures_alone_and_the_candidates_all(ready: GenerateJob, tmp_path: Path) -> None:
    record = finish(ready, 0, 1, 3, 4)
    found, made = read_set(ready.store), read_candidates(ready.store)
    assert found.table.schema == CATALOG and made.schema == CANDIDATES
    assert made["accepted"].to_pylist() == [True, False, False, True, False, True, True]
    assert made["reason"].to_pylist() == [None, "label", "copies", None, "copies", None, None]
    assert found.table["image_id"].to_pylist() == made.filter(made["accepted"])["image_id"].to_pylist()
    assert record.made.count == 4 and record.metrics["findings"] == {"Normal_Anatomy": 2, "Medical_Devices": 2}
    chosen = FilterMetrics.read(record).filter
    assert chosen.made == {"Medical_Devices": 3, "Normal_Anatomy": 4} and chosen.refused == {"copies": 2, "label": 1}
    assert chosen.real == ready.judge.digest == record.inputs["judge"] and chosen.short == {}
    lines = (tmp_path / "set/images/metadata.jsonl").read_text().splitlines()
    assert [json.loads(line)["image_id"] for line in lines] == found.table["image_id"].to_pylist()


def test_refused_pictures_lie_where_no_reader_of_the_set_looks_and_nothing_is_lost(
    ready: GenerateJob, tmp_path
) -> None:
    finish(ready, 0, 1, 3, 4)
    pictures = sorted(name for name in contents(tmp_path / "set") if name.endswith(".png"))
    found, refused = read_set(ready.store), refused_rows(read_set(ready.store))
    assert pictures == sorted(
        ["contact_sheet.png", *found.table["key"].to_pylist(), *refused["key"].to_pylist()]
    ) and all(key.startswith("refused/") for key in refused["key"].to_pylist())
    assert verify(ready.store).clean and verify(ready.store).checked > 7
    (tmp_path / "set" / refused["key"][0].as_py()).unlink()
    assert verify(ready.store).missing == [refused["key"][0].as_py()]


def test_the_set_is_the_same_whatever_was_made_beyond_it_and_after_a_kill(ready: GenerateJob, tmp_path: Path) -> None:
    finish(ready, 0, 1, 3, 4)
    first = contents(tmp_path / "set")
    other = replace(ready, store=open_store(str(tmp_path / "other")))
    begin(other, retry_failed=False)
    store_units(other, 5, 4, 0, 3, 2, 1)
    assert count_accepted(other.store) == {unit: sum(found) for unit, found in ACCEPTED.items()}
    with pytest.raises(ZeroDivisionError):  # killed when all but the record is written
        other.make(lambda: complete(other, "CPU", {}) and 1 / 0)
    other.make(lambda: complete(other, "CPU", {"total": 1.0}))
    assert contents(tmp_path / "other") == first
    store_units(other, 5)  # by a slower driver
    assert other.take_finished() and contents(tmp_path / "other") == first


def test_fewer_than_wanted_are_said(ready: GenerateJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACCEPTED, 4, (False, False))
    monkeypatch.setitem(ACCEPTED, 5, (False, False))
    record = finish(ready, *range(6))
    chosen = FilterMetrics.read(record).filter
    assert chosen.accepted == {"Medical_Devices": 1, "Normal_Anatomy": 2} and chosen.short == {"Medical_Devices": 1}
    card = (tmp_path / "set/README.md").read_text()
    assert "| Medical_Devices | 6 | 1, fewer than 2 |" in card and "| copies | no near-duplicate" in card
    assert "Of 10 pictures that were made, 3 passed all tests" in card and "# 3 synthetic chest X-rays" in card


def test_whoever_chose_is_in_the_lineage_and_no_test_patient(ready: GenerateJob, real: CatalogSet) -> None:
    ready = replace(ready, model=replace(ready.model, lineage=()))
    record, key = finish(ready, 0, 1, 3, 4), owner_key()
    names = tuple(sorted({key.pseudonym(hashed_id(f"p{row}", "")) for row in range(6)}))
    assert {"key": key.id, "commitment": key.commitment(names)} in record.metrics["lineage"]


def test_the_recipe_of_a_set_that_is_not_filtered_does_not_speak_of_it(tmp_path: Path, random_model: Path) -> None:
    config = recipes.replace_fields(recipes.tiny(), model=str(random_model), size=64, batch=2, per_finding=1)
    plain = prepare(open_store(str(tmp_path / "plain")), config, None, tmp_path, lambda line: None)
    assert "filter" not in plain.recipe and "judge" not in plain.inputs


def test_a_set_without_refused_pictures_is_named(real: CatalogSet) -> None:
    with pytest.raises(BadInput, match=r"judge: has no refused pictures .*give a set of cxr generate --accept"):
        read_candidates(real.store)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"accept": "label"}, "--accept: give --quota too"),
        ({"quota": 5}, "--quota is of --accept"),
        ({"accept": "lable", "quota": 5}, "no test is called 'lable'; did you mean label"),
        ({"accept": "label,label", "quota": 5}, "stands twice"),
        ({"accept": "label", "quota": 50_000, "tries": 4}, "at most 100,000 pictures"),
    ],
)
def test_what_cannot_be_asked(fields: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        FilterConfig(**fields)


def test_an_evaluation_says_what_the_filter_flatters(ready: GenerateJob) -> None:
    chosen = FilterMetrics.read(finish(ready, 0, 1, 3, 4)).filter
    assert "prompt accuracy, near-duplicates, so that these flatter it" in warn_of_choice(chosen)[0]
    assert warn_of_choice(None) == [] == warn_of_choice(chosen.model_copy(update={"tests": ["parts"]}))


def test_the_stored_plan_has_every_candidate(ready: GenerateJob, tmp_path: Path) -> None:
    finish(ready, 0, 1, 3, 4)
    assert len(pq.read_table(tmp_path / "set/plan.parquet")) == 12
