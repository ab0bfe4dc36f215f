"""What a finished model says of itself: its record, and its card."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cxr.artifact import Record, verify
from cxr.data.lineage import (
    PHANTOM,
    TrainingPatients,
    hashed_id,
    pseudonymise,
    record_lineage,
)
from cxr.data.lineage_key import owner_key
from cxr.finetune import finish, runs
from cxr.store import open_store
from tests.find_patients import find_patient_ids

pytestmark = pytest.mark.usefixtures("unrendered")
SCORES = {"mse": 0.5, "ssim": 0.25, "psnr": 11.0, "kid": 1.5}
BASE_SAW = TrainingPatients("of another owner", "f" * 64)


@pytest.fixture
def completed(prepared, tmp_path: Path) -> Record:
    """Two folds, the second of one validation picture, and the final run; nothing was trained for it."""
    ready = prepared({"source": PHANTOM}, folds=2, prior_weight=0.5, accumulation=2)
    ready = replace(ready, model=replace(ready.model, licence="OpenRAIL-M", source="owner/name@1", lineage=(BASE_SAW,)))
    ready = replace(ready, model=replace(ready.model, sources=("owner/name@1",)))
    ready.begin(ready.plan)
    without_kid = {name: value for name, value in SCORES.items() if name != "kid"}
    for run, scores in (("fold1", SCORES | {"mse": 0.7}), ("fold2", without_kid), (runs.FINAL, SCORES)):
        history = [{"step": 0, **SCORES}, {"step": 4, "loss": 1.0, **scores}]
        test = {"mse": 0.625} if run == runs.FINAL else {}
        result = runs.Result(4, 2, scores, SCORES | {"mse": 0.9}, test, [], history, "a GPU")
        ready.store.put(runs.result_key(run), json.dumps(asdict(result)).encode())
    return ready.make(lambda: finish.complete(ready, {"total": 1.0}))


def test_the_record_tells_the_owner_whom_it_saw_and_nobody_else(completed: Record, tmp_path: Path) -> None:
    ours = pseudonymise((hashed_id(f"p{number // 2}", "") for number in range(32)), owner_key())  # trained or chosen by
    assert sorted(completed.metrics["lineage"], key=str) == sorted(record_lineage((ours, BASE_SAW)), key=str)
    (held,) = json.loads((tmp_path / "out" / "lineage.json").read_text())["lineage"]
    assert held["commitment"] == ours.commitment and tuple(held["patients"]) == ours.names
    assert find_patient_ids(tmp_path / "out") == set() and verify(open_store(str(tmp_path / "out"))).clean


def test_the_record_tells_what_it_was_made_of(completed: Record, tmp_path: Path) -> None:
    assert (completed.device, completed.metrics["test"]) == ("a GPU", {"mse": 0.625})
    assert completed.metrics["sources"] == ["owner/name@1", PHANTOM]
    assert set(completed.inputs) == {"model", "data"} and completed.recipe["prior_weight"] == 0.5
    assert not list((tmp_path / "out").glob("results/*"))


def test_the_card_has_recipe_digests_licence_and_figures(completed: Record, tmp_path: Path) -> None:
    card = (tmp_path / "out" / finish.CARD_KEY).read_text()
    assert "owner/name@1 (licence: OpenRAIL-M)" in card and "\nlicense: other\n" in card
    assert "\n- Behind it are phantoms and owner/name@1.\n" in card
    for name in ("model", "data"):
        assert f"`{completed.inputs[name][:16]}`" in card
    recipe = card.split("```json\n")[1].split("```")[0]
    assert json.loads(recipe) == completed.recipe
    assert "| base model, validation | 0.9 | 0.25 | 11 | 1.5 |" in card
    assert "| this model, validation | 0.5 | 0.25 | 11 | 1.5 |" in card
    assert "| this model, test | 0.625 | - | - | - |" in card
    assert "| mean (sd) of 2 folds | 0.6 (0.14) | 0.25 (0) | 11 (0) | - |" in card


@pytest.fixture
def finished(prepared, tmp_path: Path):
    """`finished(columns, **fields)`: record and everything that was written, as text, of a model of which nothing was
    trained."""

    def finish_it(columns: dict | None = None, **fields: object) -> tuple[Record, str]:
        ready = prepared(columns, **fields)
        ready.begin(ready.plan)
        history = [{"step": 0, **SCORES}, {"step": 4, "loss": 1.0, **SCORES}]
        result = runs.Result(4, 1, SCORES, SCORES, {}, [], history, "a GPU")
        ready.store.put(runs.result_key(runs.FINAL), json.dumps(asdict(result)).encode())
        record = ready.make(lambda: finish.complete(ready, {"total": 1.0}))
        return record, record.model_dump_json() + (tmp_path / "out" / finish.CARD_KEY).read_text()

    return finish_it


def test_the_record_holds_the_prompt_of_each_finding(finished) -> None:
    record, written = finished(captions="instance")
    prompts = {finding: f"chest X-ray showing {finding}" for finding in ("normal", "pneumonia")}
    told = {"kind": "a prompt for each finding", "findings": ["normal", "pneumonia"], "prompts": prompts}
    told |= {"template": "chest X-ray showing {finding}", "exclusive": True}
    assert record.metrics["captions"] == told
    assert "ask for it in these words" in written and "`chest X-ray showing pneumonia`" in written


def test_no_text_of_a_picture_gets_into_record_or_card(finished) -> None:
    record, written = finished({"text": "Mr Smith, 12 May."})
    told = {"kind": "texts of the pictures", "findings": ["normal", "pneumonia"], "prompts": {}}
    told |= {"template": None, "exclusive": True}
    assert record.metrics["captions"] == told
    assert "Smith" not in written and "each picture's own text" in written
