"""From a set to a plan: who is trained on, who is held out, and what cannot be used."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.data.catalog import CATALOG, read_set
from cxr.data.images import encode_png
from cxr.data.lineage import hashed
from cxr.errors import BadInput
from cxr.finetune import job
from cxr.finetune.config import FinetuneConfig
from cxr.store import Made, Record, Store, commit_record, open_store, recipe_digest

CONFIG = {"size": 64, "batch": 4, "max_train_steps": 4}


def make_set(folder: Path, **columns: object) -> Store:
    """40 pictures of 20 patients and two findings: 28 to train in 4 folds, 4 to validate, 8 to test."""
    store, rows = open_store(str(folder)), []
    for number in range(40):
        split = "train" if number < 28 else "validation" if number < 32 else "test"
        png = encode_png(np.random.default_rng(number).integers(0, 255, (64, 64), dtype=np.uint8))
        stored = store.put(f"images/{number}.png", png)
        told = {"image_id": str(number), "key": stored.key, "sha256": stored.sha256, "text": f"picture {number}"}
        told |= {"finding": ("normal", "pneumonia")[number % 2], "patient_id": f"p{number // 2}", "split": split}
        rows.append(told | {"fold": number // 2 % 4 if split == "train" else None} | columns)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=CATALOG), sink)
    objects = [store.put("catalog.parquet", sink.getvalue())]
    made, recipe = Made(count=40, bytes=1, digest="0"), {"of": "test"}
    commit_record(store, Record(kind="ingested images", recipe=recipe, recipe_digest=recipe_digest(recipe), made=made,
                                objects=objects))  # fmt: skip
    return store


@pytest.fixture
def prepared(random_model: Path, tmp_path: Path):
    """`prepared(columns, **fields)`: the job on a set with these columns changed, and a recipe with these fields."""

    def prepare(columns: dict | None = None, **fields: object) -> job.Job:
        config = FinetuneConfig(model=str(random_model), **{**CONFIG, **fields})
        data = make_set(tmp_path / "data", **(columns or {}))
        return job.prepare(open_store(str(tmp_path / "out")), read_set(data), config, lambda line: None)

    return prepare


def test_folds_share_out_the_training_part_by_patient(prepared) -> None:
    ready = prepared(folds=2)
    assert ready.runs == ["fold1", "fold2", "final"]
    held_out: list[str] = []
    for run in ("fold1", "fold2"):
        trained, validated = (set(part["patient"].to_pylist()) for part in job.parts_of(ready.plan, run, 2))
        assert trained and validated and not trained & validated
        held_out += validated
    trained, validated = job.parts_of(ready.plan, "final", 2)
    assert sorted(held_out) == sorted(set(trained["patient"].to_pylist())) and len(trained) == 28
    assert set(validated["split"].to_pylist()) == {"validation"}


def test_patients_are_named_by_their_hash_alone(prepared, tmp_path: Path) -> None:
    ready = prepared()
    job.begin(ready)
    assert not any(name == "p3" for name in ready.plan["patient"].to_pylist())
    assert hashed("p3", "") in ready.plan["patient"].to_pylist()
    assert not (tmp_path / "out" / "record.json").exists()


@pytest.mark.parametrize(
    ("columns", "fields", "told"),
    [
        ({"split": None, "fold": None}, {}, "not split into train, validation and test"),
        ({"text": None}, {}, "40 of 40 pictures have no text .* --captions instance"),
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
