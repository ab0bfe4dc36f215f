"""A job's beginning and end, without Ray: constant pictures in place of the sampler's."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr import recipes
from cxr.artifact import Made, Record, commit_record, recipe_digest
from cxr.data.lineage import PHANTOM, PHANTOM_NOTICE, TrainingPatients, record_lineage
from cxr.generate.finish import describe_training
from cxr.generate.job import GenerateJob, UnitWriter, begin, complete, planned_prompts, prepare, provenance
from cxr.generate.plan import PlanReader
from cxr.prompts.findings import FINDINGS
from cxr.prompts.lists import PromptRow
from cxr.prompts.templates import template_prompts
from cxr.prompts.trained_prompts import TrainedPrompts
from cxr.store import StoredObject, open_store, sha256
from tests.find_patients import find_patient_ids

ROWS = [PromptRow("clear lungs", "normal", "", 10, None)]
SHOWN = TrainingPatients("k", "c")


@pytest.fixture
def ready(tmp_path: Path, random_model: Path) -> GenerateJob:
    """Ten pictures in five units, planned."""
    config = recipes.replace_fields(recipes.tiny(), model=str(random_model), size=64, batch=2)
    return prepare(open_store(str(tmp_path / "set")), config, ROWS, tmp_path, print)


def keep(ready: GenerateJob, *units: int) -> None:
    reader, keeper = PlanReader(ready.plan.path, 2), UnitWriter(ready.store, "folder", provenance(ready))
    for unit in units:
        keeper(unit, reader.rows(unit), np.full((2, 64, 64), unit, np.uint8), "")


def test_what_is_stored_or_given_up_is_not_pending(ready: GenerateJob) -> None:
    begin(ready, retry_failed=False)
    keep(ready, 0, 3)
    ready.store.put("failed/00000001.json", b"{}")
    state = begin(ready, retry_failed=False)
    assert (state.pending.to_pylist(), state.failed, state.stored_images) == ([2, 4], {1}, 4)
    assert begin(ready, retry_failed=True).pending.to_pylist() == [1, 2, 4]


def test_a_run_whose_commits_another_has_swept_up_ends_with_the_others_record(ready: GenerateJob) -> None:
    begin(ready, retry_failed=False)
    keep(ready, 0, 1, 2, 3, 4)
    first = ready.make(lambda: complete(ready, "CPU", {"total": 1.0}))
    keep(ready, 3, 4)  # by a slower run of the same job
    assert ready.make(lambda: complete(ready, "CPU", {"total": 2.0})) == first
    assert list(ready.store.list("commits/")) == []


@pytest.mark.parametrize(("lora", "promised"), [((), True), ((PHANTOM,), True), (("folder",), False)])
def test_record_and_card_tell_what_model_and_lora_learned_from(
    ready: GenerateJob, tmp_path: Path, lora: tuple, promised: bool
) -> None:
    model = replace(ready.model, sources=(PHANTOM,), lineage=())
    ready = replace(ready, model=model, lora=replace(model, sources=lora, lineage=(SHOWN,)) if lora else None)
    begin(ready, retry_failed=False)
    keep(ready, 0, 1, 2, 3, 4)
    record = ready.make(lambda: complete(ready, "CPU", {"total": 1.0}))
    assert record.metrics["sources"] == sorted({PHANTOM, *lora})
    card = (tmp_path / "set" / "README.md").read_text()
    assert ("None is of a patient:" in card) == promised != ("does not make a set safe to share" in card)
    assert record.metrics["lineage"] == (record_lineage((SHOWN,)) if lora else [])
    assert (PHANTOM_NOTICE in card) == promised != ("Behind them are phantoms and " in card)


@pytest.mark.parametrize("layout", ["folder", "shards"])
def test_a_set_of_a_model_of_version_01_tells_nobody_whom_that_was_shown(
    tmp_path: Path, random_model: Path, layout: str, capsys
) -> None:
    model = open_store(str(shutil.copytree(random_model, tmp_path / "model")))
    plain = [hashlib.sha256(f"p{number}".encode()).hexdigest() for number in range(1, 400)]
    held = [model.read_back(found.key) for found in model.list()]
    told = Record(kind="fine-tuned model", recipe={}, recipe_digest=recipe_digest({}), made=Made.of(held), objects=held,
                  metrics={"patients_seen": plain})  # fmt: skip
    commit_record(model, told)
    config = recipes.replace_fields(recipes.tiny(), model=model.uri, size=64, batch=2, layout=layout)
    ready = prepare(open_store(str(tmp_path / "set")), config, ROWS, tmp_path, print)
    begin(ready, retry_failed=False)
    reader, keeper = PlanReader(ready.plan.path, config.unit_images), UnitWriter(ready.store, layout, provenance(ready))
    for unit in range(ready.plan.units):
        rows = reader.rows(unit)
        keeper(unit, rows, np.full((len(rows), 64, 64), unit, np.uint8), "")
    ready.make(lambda: complete(ready, "CPU", {"total": 1.0}))
    assert len(find_patient_ids(tmp_path / "model")) == 399 and find_patient_ids(tmp_path / "set") == set()
    assert "jobs/protect.py" in capsys.readouterr().err


TRAINED = TrainedPrompts({name: f"chest X-ray showing {name}" for name in ("normal", "pneumonia")})


def prepared_with(model: Path, folder: Path, rows: list[PromptRow] | None, words: tuple[str, ...] = ()) -> GenerateJob:
    config = recipes.replace_fields(recipes.tiny(), model=str(model), size=64, batch=2, per_finding=4)
    heard: list[str] = []
    ready = prepare(open_store(str(folder / "set")), config, rows, folder, heard.append)
    assert all(any(word in line for line in heard) for word in words), heard
    assert len(heard) == len(words), heard
    return ready


def with_record(model: Path, folder: Path) -> Path:
    """The model as jobs/finetune.py leaves it: beside its files the record."""
    shutil.copytree(model, folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    objects = [StoredObject(str(p.relative_to(folder)), p.stat().st_size, sha256(p.read_bytes())) for p in files]
    metrics = {"captions": TRAINED.for_record, "patients_seen": [], "sources": ["an archive"]}
    commit_record(open_store(str(folder)), Record(kind="fine-tuned model", recipe={}, recipe_digest=recipe_digest({}),
                  made=Made.of(objects), objects=objects, metrics=metrics))  # fmt: skip
    return folder


def test_a_set_of_a_fine_tuned_model_is_asked_for_in_its_words(random_model: Path, tmp_path: Path) -> None:
    model = with_record(random_model, tmp_path / "model")
    ready = prepared_with(model, tmp_path, None, ("with which",))
    assert ready.plan.findings == {"normal": 4, "pneumonia": 4}
    assert set(planned_prompts(ready.plan)) == set(TRAINED.known.values())
    prepared_with(model, tmp_path, ROWS, ("10 of 10 pictures are asked for in words",))
    begin(ready, retry_failed=False)
    keep(ready, 0, 1, 2, 3)
    ready.make(lambda: complete(ready, "CPU", {"total": 1.0}))
    card = (tmp_path / "set" / "README.md").read_text()
    assert f"- Fine-tuned model: digest `{ready.model.digest[:16]}`" in card
    assert "learned from: an archive; trained on X-rays of normal, pneumonia; captions: a prompt for each" in card


def test_a_model_without_a_record_is_asked_as_before_and_its_names_stay(random_model: Path, tmp_path: Path) -> None:
    ready = prepared_with(random_model, tmp_path, None, ("from templates; no record says",))
    assert set(ready.plan.findings) == set(FINDINGS) and ready.plan.images == 40
    old = [
        PromptRow(prompt, finding, "", 1, None) for finding in FINDINGS for prompt in template_prompts(finding, 4, 0)
    ]
    assert prepared_with(random_model, tmp_path, old).digest == ready.digest


def test_the_card_names_the_lora_and_what_it_learned_from(ready: GenerateJob, tmp_path: Path) -> None:
    lora = replace(ready.model, digest="1a2b3c4d" * 8, sources=("an archive",), trained=TRAINED)
    assert describe_training(ready.model, None) == ""
    assert "LoRA: digest `1a2b3c4d1a2b3c4d`" in describe_training(ready.model, lora)
    of_a_set = replace(lora, data="5e7" * 20)
    assert "of normal, pneumonia, of the set `5e75e75e75e75e75`" in describe_training(ready.model, of_a_set)
    unknown = replace(ready.model, sources=("unknown",), trained=None)
    assert "no record says what it learned from" in describe_training(ready.model, unknown)


@pytest.mark.parametrize(("size", "told"), [(64, True), (128, False)])
def test_the_embedded_model_at_another_size_than_its_own_is_told(tmp_path: Path, size: int, told: bool) -> None:
    heard: list[str] = []
    config = recipes.replace_fields(recipes.tiny(), size=size, per_finding=1)
    prepare(open_store(str(tmp_path / "set")), config, None, tmp_path, heard.append)
    assert any("tiny was trained at 128 px" in line for line in heard) == told
