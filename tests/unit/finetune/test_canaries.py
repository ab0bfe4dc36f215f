"""Training without canaries whom a coin leaves out: they are in no run, and in no list of whom the model saw."""

import pytest

from cxr.data.lineage import hashed_id, pseudonymise
from cxr.data.lineage_key import owner_key
from cxr.errors import BadInput
from cxr.finetune import job, runs
from cxr.finetune.config import FinetuneConfig, identity
from cxr.finetune.job import FinetuneJob

COUNT = 8


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The set has 14 patients to train on."""
    monkeypatch.setattr("cxr.data.canaries.FEWEST", COUNT)


def patients(ready: FinetuneJob, *parts: str) -> set[str]:
    of_image = dict(zip(*(ready.data.table[name].to_pylist() for name in ("image_id", "patient_id")), strict=True))
    return {of_image[row["image_id"]] for row in ready.plan.to_pylist() if row["split"] in parts}


def test_those_left_out_are_trained_on_in_no_run_and_named_in_no_list(prepared) -> None:
    ready = prepared(canaries=COUNT, folds=2)
    left = patients(ready, "left out")
    assert 0 < len(left) < COUNT and not left & patients(ready, "train", "validation", "test")
    assert len(left | patients(ready, "train")) == 14
    for run in ready.runs:
        used = {image for part in runs.rows_of_run(ready.plan, run, 2) for image in part["image_id"].to_pylist()}
        assert not used & {row["image_id"] for row in ready.plan.to_pylist() if row["split"] == "left out"}
    seen = pseudonymise((hashed_id(patient, "") for patient in patients(ready, "train", "validation")), owner_key())
    assert job.plain_names(ready) == {hashed_id(patient, "") for patient in patients(ready, "train", "validation")}
    assert not {owner_key().pseudonym(hashed_id(patient, "")) for patient in left} & set(seen.names or ())


def test_the_recipe_tells_how_many_and_not_who(prepared) -> None:
    ready = prepared(canaries=COUNT)
    assert ready.recipe["canaries"] == COUNT and not any(name in str(ready.recipe) for name in patients(ready, "train"))
    assert prepared(canaries=COUNT).plan.equals(ready.plan)  # the same command again


def test_a_recipe_without_canaries_is_what_it_was() -> None:
    assert "canaries" not in identity(FinetuneConfig(), "m", "d") and "canaries" in identity(
        FinetuneConfig(canaries=60), "m", "d"
    )


@pytest.mark.parametrize(
    ("canaries", "columns", "line"),
    [
        (COUNT - 1, {}, f"--canaries {COUNT - 1}: a bound of epsilon takes {COUNT} at least"),
        (15, {}, "--canaries 15: the training part has 14 patients whose ids are known"),
        (COUNT, {"patient_id": None}, "the training part has 0 patients whose ids are known"),
    ],
)
def test_too_few_or_too_many_is_one_line(prepared, canaries: int, columns: dict, line: str) -> None:
    with pytest.raises(BadInput, match=line):
        prepared(columns, canaries=canaries)
