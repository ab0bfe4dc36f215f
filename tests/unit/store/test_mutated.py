"""A record and a plan that were changed in any way: what reads them refuses, naming the place, or works."""

import contextlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.artifact import plan_marks, read_record, recipe_digest, refuse_other, verify
from cxr.data.catalog import read_set
from cxr.data.lineage import describe_patients, has_phantoms, merge_lineages, read_lineage
from cxr.errors import BadInput, StoreError
from cxr.store import open_store

MUTANTS = 1000
VALUES = (None, True, 0, -1, 1e308, "", "x" * 3000, "\ud800", "../../etc/passwd", "/etc/passwd", [], {}, [[1]],
          {"a": {}}, ["a", 1], float("nan"), "a\nb", "\0", 2**80)  # fmt: skip


def mutated(draw: random.Random, value: Any) -> Any:
    """The value with one thing in it changed, taken away, or doubled."""
    if draw.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return draw.choice(VALUES)
    if isinstance(value, dict):
        name, rest = draw.choice(list(value)), dict(value)
        kept = rest.pop(name)
        return rest if draw.random() < 0.2 else rest | {draw.choice((name, name, "other")): mutated(draw, kept)}
    place, rest = draw.randrange(len(value)), list(value)
    rest[place : place + 1] = [] if draw.random() < 0.2 else [mutated(draw, rest[place])] * draw.randint(1, 2)
    return rest


def changed_bytes(draw: random.Random, data: bytes) -> bytes:
    """Bytes cut off, changed, or put between."""
    at, kind = draw.randrange(len(data)), draw.randrange(3)
    noise = draw.randbytes(draw.randint(1, 8))
    return data[:at] if kind == 0 else data[:at] + noise + data[at + (len(noise) if kind == 1 else 0) :]


def survives(use: Callable[[], object], folder: Path) -> bool:
    """Whether it works; a refusal names the place and leaves every file as it was. (`cli.guard` makes it one line.)"""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    try:
        use()
    except (BadInput, StoreError) as error:
        assert str(error).startswith(str(folder))
        return False
    finally:
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    return True


@pytest.mark.slow
def test_a_thousand_mutated_records(stored_set):
    whole = stored_set("whole", np.zeros((3, 8, 8), np.uint8), metrics={"patients_seen": ["a"], "sources": ["b"]})
    folder, draw, worked = Path(whole.store.uri), random.Random(1), 0
    good = (folder / "record.json").read_bytes()

    def reading() -> None:
        verify(whole.store)
        found = read_set(whole.store)
        describe_patients(found.sources, found.record.metrics.get("patients_seen"))
        has_phantoms(found.sources), merge_lineages(read_lineage(found.record.metrics)), found.digest

    for number in range(MUTANTS):
        if number % 4 == 0:
            data = changed_bytes(draw, good)
        else:
            changed = mutated(draw, json.loads(good))
            if isinstance(changed, dict) and isinstance(changed.get("recipe"), dict) and number % 2:
                with contextlib.suppress(ValueError):  # a recipe that fits its digest goes further in
                    changed["recipe_digest"] = recipe_digest(changed["recipe"])
            data = json.dumps(changed).encode()
        (folder / "record.json").write_bytes(data)
        worked += survives(reading, folder)
        survives(lambda: refuse_other(whole.store, "set", {"set": "whole"}), folder)
    assert 0 < worked < MUTANTS / 2


def test_a_record_nested_too_deeply(tmp_path):
    (tmp_path / "record.json").write_text('{"metrics": ' + "[" * 5000 + "]" * 5000 + "}")
    with pytest.raises(BadInput, match=r"record\.json is damaged"):
        read_record(open_store(str(tmp_path)))


@pytest.mark.slow
def test_a_thousand_mutated_plans(tmp_path):
    recipe = {"model": "a", "sampler": {"steps": 3, "name": "ddim"}, "findings": ["x", "y"]}
    store, draw, worked = open_store(str(tmp_path)), random.Random(2), 0
    for number in range(MUTANTS):
        table = pa.table({"unit": pa.array(range(50), pa.int32()), "prompt": ["clear"] * 50})
        marks = plan_marks(recipe)
        if number % 2:
            changed = mutated(draw, recipe)
            try:
                marks = {"cxr.recipe": json.dumps(changed), "cxr.recipe_digest": recipe_digest(changed)}
            except ValueError:
                marks.pop(draw.choice(list(marks)))
        file = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(marks), file)
        data = file.getvalue() if number % 2 else changed_bytes(draw, file.getvalue())
        (tmp_path / "plan.parquet").write_bytes(data)
        worked += survives(lambda: refuse_other(store, "generate", recipe), tmp_path)
    assert 0 < worked < MUTANTS / 2
