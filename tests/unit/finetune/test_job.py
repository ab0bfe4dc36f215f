"""From a set to a plan: who is trained on, who is held out, and what cannot be used."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from cxr.diffusion.sampler import Sampler
from cxr.errors import BadInput
from cxr.finetune import job, runs, worker
from cxr.finetune.forecast import Seconds, add_up, forecast
from cxr.finetune.loop import Trainer
from cxr.prompts.trained_prompts import TrainedPrompts
from cxr.weights import resolve
from tests.find_patients import find_patient_ids


def test_folds_share_out_the_training_part_by_patient(prepared) -> None:
    ready = prepared(folds=2)
    assert ready.runs == ["fold1", "fold2", "final"]
    held_out: list[str] = []
    for run in ("fold1", "fold2"):
        trained, validated = (patients(part) for part in runs.rows_of_run(ready.plan, run, 2))
        assert trained and validated and not trained & validated
        held_out += validated
    trained, validated = runs.rows_of_run(ready.plan, "final", 2)
    assert sorted(held_out) == sorted(patients(trained)) and len(trained) == 28
    assert set(validated["split"].to_pylist()) == {"validation"}


def test_what_it_would_make_is_told_in_steps_and_pictures(prepared) -> None:
    told = forecast(prepared(folds=2, max_train_steps=7, sampling_steps=1)).text("there")
    assert "reads: 28 training and " in told and "and 2 folds: 21 steps of" in told
    assert "as 2 of its steps and two short batches of samples took" in told
    assert told.endswith("nothing was written to there")


def test_the_time_of_a_training_is_of_its_steps_its_encoding_and_its_samples(prepared) -> None:
    ready = prepared(folds=2, max_train_steps=7, validate_every=3, validation_images=2, test_images=5)
    assert add_up(ready, Seconds(step=1, encoding=0, sample=0)) == 21
    assert add_up(ready, Seconds(step=0, encoding=1, sample=0)) == 28 + 28  # both folds together, and the final one
    assert add_up(ready, Seconds(step=0, encoding=0, sample=1)) == 3 * 4 * 2 + 5  # before, after 3, 6 and 7 steps


@pytest.mark.parametrize("fields", [{"epsilon": 8.0}, {"prior_weight": 1.0, "patience": 3}])
def test_steps_with_privacy_and_with_class_pictures_are_timed_and_leave_nothing(
    prepared, tmp_path: Path, fields: dict
) -> None:
    ready = prepared(sampling_steps=1, **fields)
    before = set(tmp_path.rglob("*"))
    assert ("at most, as it may stop earlier" in forecast(ready).time) == ("patience" in fields)
    assert set(tmp_path.rglob("*")) == before


def patients(part: pa.Table) -> set[int]:
    """Of the set's pictures, two of each."""
    return {int(image) // 2 for image in part["image_id"].to_pylist()}


def test_a_plan_names_no_patient_and_is_not_there_without_a_key(prepared, tmp_path: Path, monkeypatch) -> None:
    ready = prepared()
    ready.begin(ready.plan)
    assert len(ready.plan) == 40 and find_patient_ids(tmp_path / "out") == set()
    assert not (tmp_path / "out" / "record.json").exists()
    # nobody knows of the random base
    known = replace(ready, model=replace(ready.model, lineage=()))
    assert job.collect_lineage(ready) is None and len(job.collect_lineage(known)[0].names) == 16
    monkeypatch.setenv("CXR_LINEAGE_KEY", "too short")
    with pytest.raises(BadInput, match="too short"):
        job.collect_lineage(known)


@pytest.mark.parametrize(
    ("columns", "fields", "told"),
    [
        ({"split": None, "fold": None}, {}, "not split into train, validation and test"),
        ({"text": None}, {}, "none of the 40 pictures has a text .* --captions instance"),
        ({}, {"finding": "pneumonea"}, "did you mean pneumonia"),
        ({}, {"batch": 8, "accumulation": 4}, r"--batch 8 x 4 accumulated: more than the 28 pictures"),
        ({}, {"folds": 4, "batch": 24}, r"--batch 24 x 1 accumulated: more than the 2\d pictures"),
        ({}, {"folds": 5}, "--folds 5: the set has 4 folds"),
        ({"split": "train"}, {}, "no validation picture"),
        ({}, {"select": "kid", "validation_images": 1}, "--select kid: needs 2 validation pictures, final has one"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_written(
    prepared, tmp_path: Path, columns: dict, fields: dict, told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        prepared(columns, **fields)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (["normal", "pneumonia"], None),
        (["normal"], "was trained on normal: pneumonia of this set it has to learn here"),
        (["mass", "normal", "pneumonia"], "mass, normal, pneumonia: mass it is not shown again, and may forget"),
        (
            ["effusion", "mass"],
            "trained on effusion, mass: normal, pneumonia of this set it has to learn here; effusion, mass it is not "
            "shown again, and may forget",
        ),
        (None, None),
    ],
)
def test_a_base_that_was_trained_on_other_findings_is_said(
    prepared, monkeypatch, known: list[str] | None, told: str | None
) -> None:
    trained = None if known is None else TrainedPrompts(dict.fromkeys(known, "chest X-ray"))
    monkeypatch.setattr(job, "resolve", lambda spec: replace(resolve(spec), trained=trained))
    notes: list[str] = []
    prepared(note=notes.append)
    assert len(notes) == (told is not None) and (told is None or notes[0].endswith(told))


@pytest.mark.parametrize("what", ["a step", "a sample"])
def test_out_of_memory_says_what_to_lower(prepared, monkeypatch, what: str) -> None:
    def too_large(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    ready = prepared()
    ready.begin(ready.plan)
    if what == "a step":
        monkeypatch.setattr(Trainer, "backward", too_large)
    else:
        monkeypatch.setattr(Sampler, "__call__", too_large)
    places = {"store": ready.store, "data": ready.data.store, "distance": lambda: None}
    work = worker.FinetuneWorker(config=ready.config, recipe=ready.recipe, run=runs.FINAL, threads=1, **places)
    with pytest.raises(BadInput, match=r"--batch 4 .*--size 64.*--gradient-checkpointing"):
        work(lambda told: None)
