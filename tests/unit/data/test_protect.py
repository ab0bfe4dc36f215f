"""An artifact of version 0.1 is rid of what tells whom it is of, and is otherwise as it was."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cxr.artifact import Artifact, Made, Record, commit_record, read_record, recipe_digest, verify
from cxr.data.catalog import read_set
from cxr.data.lineage import hashed_id, pseudonymise, read_lineage
from cxr.data.lineage_key import owner_key
from cxr.data.lineage_lists import NO_LISTS, Overlap, compare_patients, read_lists_option
from cxr.data.protect import protect_artifact
from cxr.errors import BadInput
from cxr.store import Store, open_store
from tests.find_patients import find_patient_ids

PATIENTS = [f"p{number}" for number in range(1, 400)]


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))


def old_set(stored_set, folder: Path) -> Store:
    metrics = {"findings": {"normal": 4}, "patients_seen": [hashed_id(name, "") for name in PATIENTS]}
    made = stored_set("old", np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8), metrics=metrics)
    return open_store(str(shutil.copytree(made.store.uri, folder)))


class Model(Artifact):
    kind = "fine-tuned model"


def old_model(folder: Path) -> Store:
    store, recipe = open_store(str(folder)), {"of": "a test"}
    plain = [hashed_id(name, "") for name in PATIENTS]
    Model(store, recipe).begin(pa.table({"image_id": PATIENTS, "patient": plain}))
    weights = store.put("pytorch_lora_weights.safetensors", b"weights")
    record = Record(
        kind="fine-tuned model", recipe=recipe, recipe_digest=recipe_digest(recipe), made=Made.of([weights]),
        objects=[weights, store.read_back("plan.parquet")], metrics={"patients_seen": plain},
    )  # fmt: skip
    commit_record(store, record)
    return store


def others(store: Store, *but: str) -> dict[str, bytes]:
    return {key: store.get(key) for key, _ in store.list() if key not in but}


def test_a_set_keeps_its_pictures_and_loses_its_list(stored_set, tmp_path) -> None:
    store = old_set(stored_set, tmp_path / "set")
    before, record = others(store, "record.json"), read_record(store)
    assert len(find_patient_ids(tmp_path / "set")) == 399
    assert protect_artifact(store) == 399
    assert (
        find_patient_ids(tmp_path / "set") == set() and others(store, "record.json") == before and verify(store).clean
    )
    after = read_record(store)
    assert after.metrics.pop("lineage") and after.metrics == {"findings": {"normal": 4}}
    assert after.model_copy(update={"metrics": record.metrics}) == record
    assert protect_artifact(store) == 0 and read_record(store).metrics["findings"]
    real = stored_set("real", np.zeros((399, 8, 8), np.uint8), patient_id=PATIENTS, split=["train"] * 399)
    assert compare_patients(read_lineage(read_set(store).record.metrics), real.table, NO_LISTS) == Overlap(shown=399)


def test_a_model_keeps_its_list_under_the_key(tmp_path) -> None:
    store = old_model(tmp_path / "model")
    assert len(find_patient_ids(tmp_path / "model")) == 399
    assert protect_artifact(store) == 399
    assert find_patient_ids(tmp_path / "model") == set() and verify(store).clean
    seen = pseudonymise([hashed_id(name, "") for name in PATIENTS], owner_key())
    assert read_lists_option("--lineage", store.uri)[seen.commitment].names == seen.names
    Model(store, read_record(store).recipe).begin(pa.table({"image_id": PATIENTS}))  # still known as its own


@pytest.mark.parametrize("puts", [0, 1, 2])
def test_a_run_that_was_stopped_loses_no_record_and_is_finished_by_another(tmp_path, monkeypatch, puts) -> None:
    store, left = old_model(tmp_path / "model"), [puts]
    put = type(store).put

    def stopped(self: Store, key: str, data: bytes):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return put(self, key, data)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(store), "put", stopped)
        protect_artifact(store)
    assert read_record(store).metrics["patients_seen"]  # so that it goes on
    assert protect_artifact(store) == 399
    assert find_patient_ids(tmp_path / "model") == set() and verify(store).clean


def test_a_list_of_a_model_of_version_01_can_be_given_as_it_is(tmp_path) -> None:
    store = old_model(tmp_path / "model")
    seen = pseudonymise([hashed_id(name, "") for name in PATIENTS], owner_key())
    assert read_lists_option("--lineage", store.uri)[seen.commitment].names == seen.names


def test_what_is_unfinished_is_refused_and_what_names_nobody_left_alone(stored_set, tmp_path) -> None:
    with pytest.raises(BadInput, match=r"no record.json"):
        protect_artifact(open_store(str(tmp_path / "empty")))
    new = stored_set("new", np.zeros((1, 8, 8), np.uint8), metrics={"patients_seen": []})
    before = others(new.store)
    assert protect_artifact(new.store) == 0 and others(new.store) == before


def test_the_hunt_finds_what_is_there(tmp_path) -> None:
    (tmp_path / "record.json").write_text(json.dumps({"seen": [hashlib.sha256(b"patient00042").hexdigest()[:16]]}))
    assert find_patient_ids(tmp_path) == {"patient00042"}
