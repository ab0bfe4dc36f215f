"""Records: digests of recipes, refusing other artifacts, the last write."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr.artifact import Made, Record, commit_record, library_versions, read_record, recipe_digest, refuse_other
from cxr.errors import BadInput
from cxr.store import StoredObject, open_store

RECIPE = {"model": "tiny", "sampler": {"steps": 30, "guidance": 7.5}, "findings": ["a", "b"]}
_JSON = st.dictionaries(
    st.text(max_size=5), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)
)


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "set"))


def _record(recipe: dict = RECIPE, kind: str = "images", **more) -> Record:
    made = Made(count=1, bytes=2, digest="d")
    return Record(kind=kind, recipe=recipe, recipe_digest=recipe_digest(recipe), made=made,
                  objects=[StoredObject("catalog.parquet", 3, "s")], **more)  # fmt: skip


def _begin(store, recipe: dict, digest: str | None = None) -> None:
    marks = {"cxr.recipe": json.dumps(recipe), "cxr.recipe_digest": digest or recipe_digest(recipe)}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"image_id": ["x"]}).replace_schema_metadata(marks), sink)
    store.put("plan.parquet", sink.getvalue().to_pybytes())


@settings(max_examples=15)
@given(_JSON)
def test_a_recipes_digest_survives_json_and_the_order_of_its_fields(recipe):
    again = json.loads(json.dumps(dict(reversed(recipe.items()))))
    assert recipe_digest(again) == recipe_digest(recipe)


def test_a_changed_field_changes_the_digest():
    assert recipe_digest(RECIPE) != recipe_digest(RECIPE | {"findings": ["b", "a"]})
    with pytest.raises(ValueError):
        recipe_digest({"x": float("nan")})


def test_a_record_comes_back_as_it_was_committed(store):
    record = _record(inputs={"model": "abc"}, seeds={"images": 7}, versions=library_versions(), metrics={"agree": 0.9})
    assert commit_record(store, record) == record
    assert read_record(store) == record


def test_a_place_without_record_has_none(store):
    assert read_record(store) is None


def test_the_first_of_two_runs_wins(store):
    first = commit_record(store, _record(timings={"total": 1.0}))
    assert commit_record(store, _record(timings={"total": 2.0})) == first
    with pytest.raises(BadInput, match=r"sampler\.steps 30 -> 50.*choose another --out"):
        commit_record(store, _record(RECIPE | {"sampler": {"steps": 50, "guidance": 7.5}}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:50],
        lambda b: b.replace(b'"steps": 30', b'"steps": 31').replace(b'"steps":30', b'"steps":31'),
        lambda b: b"[]",
        lambda b: b"\xff",
    ],
)
def test_a_damaged_record_is_one_clear_line(store, damage):
    commit_record(store, _record())
    store.put("record.json", damage(store.get("record.json")))
    with pytest.raises(BadInput, match=r"record\.json is damaged") as caught:
        read_record(store)
    assert "\n" not in str(caught.value)


def test_an_empty_place_and_our_own_are_not_refused(store):
    refuse_other(store, "images", RECIPE)
    _begin(store, RECIPE)
    refuse_other(store, "images", RECIPE)
    commit_record(store, _record())
    refuse_other(store, "images", RECIPE)


@pytest.mark.parametrize("finished", [True, False])
def test_another_recipes_artifact_is_refused_with_what_differs(store, finished):
    if finished:
        commit_record(store, _record())
    else:
        _begin(store, RECIPE)
    other = {"model": "sd15", "sampler": {"steps": 30, "guidance": 7.5}, "findings": ["a", "b"], "lora": None}
    with pytest.raises(BadInput) as caught:
        refuse_other(store, "images", other)
    message = str(caught.value)
    assert 'lora absent -> null, model "tiny" -> "sd15"' in message and "steps" not in message
    assert message.startswith(store.uri) and message.endswith("choose another --out")


def test_an_artifact_of_another_kind_is_refused(store):
    commit_record(store, _record(kind="classifier"))
    with pytest.raises(BadInput, match="holds a classifier artifact, not a images one"):
        refuse_other(store, "images", RECIPE)


def test_a_folder_with_other_things_is_refused(store):
    store.put("holiday.jpg", b"")
    with pytest.raises(BadInput, match="not empty and not one of ours"):
        refuse_other(store, "images", RECIPE)


def test_a_plan_that_is_not_ours_or_damaged_is_refused(store):
    _begin(store, RECIPE, digest="0" * 64)
    with pytest.raises(BadInput, match=r"plan\.parquet is damaged or not one of ours"):
        refuse_other(store, "images", RECIPE)
    for content in (b"", b"not parquet at all"):
        store.put("plan.parquet", content)
        with pytest.raises(BadInput, match=r"plan\.parquet is damaged or not one of ours"):
            refuse_other(store, "images", RECIPE)


def test_versions_name_python_and_torch_without_importing_it():
    assert {"python", "torch", "cxr"} <= set(library_versions())
