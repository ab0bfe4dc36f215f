"""Units as objects: what is stored is what the commit says, and storing again changes nothing."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from cxr.artifact import listed_units
from cxr.artifact.keys import COMMITS
from cxr.errors import StoreError
from cxr.generate.writer import (
    FAILED,
    committed_images,
    read_pictures,
    shard_key,
    shard_objects,
    store_failure,
    store_unit,
)
from cxr.store import open_store

from .conftest import pictures

MARK = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def all_rows(made) -> list[dict]:
    return [row for unit in range(made.plan.units) for row in made.reader.rows(unit)]


def test_a_folder_holds_a_picture_a_row_and_a_commit_a_unit(make_set) -> None:
    made = make_set("folder")
    keys = {f"images/{row['finding']}/{row['image_id']}.png" for row in all_rows(made)}
    assert set(files(made.folder)) == keys | {f"commits/0000000{unit}.json" for unit in range(3)}
    assert sorted(listed_units(made.store, COMMITS)) == [0, 1, 2]


def test_a_commit_names_size_and_digest_of_what_is_stored(make_set) -> None:
    made = make_set("folder")
    held = files(made.folder)
    for unit in range(made.plan.units):
        commit = json.loads(held[f"commits/{unit:08d}.json"])
        assert [image["image_id"] for image in commit] == [row["image_id"] for row in made.reader.rows(unit)]
        for image in commit:
            data = held[image["key"]]
            assert (image["size"], image["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_picture_carries_its_pixels_its_recipe_and_the_mark(make_set) -> None:
    made = make_set("folder")
    for unit in range(made.plan.units):
        rows = made.reader.rows(unit)
        for row, pixels in zip(rows, pictures(len(rows), unit), strict=True):
            shown = Pillow.open(made.folder / "images" / row["finding"] / f"{row['image_id']}.png")
            np.testing.assert_array_equal(np.asarray(shown), pixels)
            told = json.loads(shown.text["cxr"])
            names = ("image_id", "finding", "prompt", "negative_prompt", "seed")
            assert told == {name: row[name] for name in names} | {"model": "m"}
            assert MARK in shown.text["XML:com.adobe.xmp"]


@pytest.mark.parametrize("layout", ["folder", "shards"])
def test_storing_a_unit_again_changes_no_byte(make_set, layout: str) -> None:
    made = make_set(layout)
    before = files(made.folder)
    for unit in reversed(range(made.plan.units)):
        rows = made.reader.rows(unit)
        store_unit(made.store, layout, unit, rows, pictures(len(rows), unit), '{"model": "m"}')
    assert files(made.folder) == before


@pytest.mark.parametrize("layout", ["folder", "shards"])
def test_committed_pictures_come_in_the_order_of_the_plan(make_set, layout: str) -> None:
    made = make_set(layout)
    units = list(committed_images(made.store, layout, made.plan.units))
    assert [[image.image_id for image in unit] for unit in units] == [
        [row["image_id"] for row in made.reader.rows(unit)] for unit in range(made.plan.units)
    ]
    read = read_pictures(made.store, layout, all_rows(made))
    assert [hashlib.sha256(data).hexdigest() for data in read] == [image.sha256 for unit in units for image in unit]


def test_pictures_of_many_units_come_in_order(tmp_path: Path) -> None:
    """More units than are read at a time; stored from the last to the first."""
    store = open_store(str(tmp_path / "out"))
    for unit in reversed(range(75)):
        row = {"image_id": f"id{unit}", "finding": "x", "prompt": "p", "negative_prompt": "", "seed": unit}
        store_unit(store, "folder", unit, [row], np.full((1, 2, 2), unit, np.uint8), "{}")
    assert [image.image_id for (image,) in committed_images(store, "folder", 75)] == [f"id{unit}" for unit in range(75)]


def test_a_shard_opens_with_datasets_as_pictures(make_set, datasets) -> None:
    made = make_set("shards")
    assert set(files(made.folder)) == {"shards/00000000.parquet"}
    opened = datasets.load_dataset("parquet", data_files=str(made.folder / "shards" / "*.parquet"), split="train")
    assert isinstance(opened.features["image"], datasets.Image)
    rows = made.reader.rows(0)
    assert opened.num_rows == len(rows) == 11
    for row, pixels, shown in zip(rows, pictures(11, 0), opened, strict=True):
        assert shown["image"].mode == "L"
        np.testing.assert_array_equal(np.asarray(shown["image"]), pixels)
        names = ("image_id", "finding", "prompt", "negative_prompt", "seed")
        assert {name: shown[name] for name in names} == {name: row[name] for name in names}


def test_the_digests_in_a_shard_are_those_of_its_files(make_set) -> None:
    made = make_set("shards")
    (images,) = committed_images(made.store, "shards", 1)
    data = list(read_pictures(made.store, "shards", made.reader.rows(0)))
    assert [image.sha256 for image in images] == [hashlib.sha256(file).hexdigest() for file in data]
    assert {image.key for image in images} == {"shards/00000000.parquet"}
    (shard,) = shard_objects(made.store, 1)
    held = files(made.folder)["shards/00000000.parquet"]
    assert (shard.size, shard.sha256) == (len(held), hashlib.sha256(held).hexdigest())
    assert Pillow.open(io.BytesIO(data[0])).size == (64, 64)


@pytest.mark.parametrize("damage", [Path.unlink, lambda shard: shard.write_bytes(b"no shard")])
def test_a_shard_that_cannot_be_read_is_told_in_one_line(make_set, damage) -> None:
    made = make_set("shards")
    damage(made.folder / "shards/00000000.parquet")
    with pytest.raises(StoreError, match=r"shards/00000000\.parquet cannot be read"):
        list(committed_images(made.store, "shards", 1))


def test_a_failure_says_what_went_wrong_with_which_rows(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "out"))
    store_failure(store, 12, [{"image_id": "a", "prompt": "ä"}], "ValueError: no number")
    assert json.loads(store.get("failed/00000012.json")) == {
        "unit": 12,
        "error": "ValueError: no number",
        "rows": [{"image_id": "a", "prompt": "ä"}],
    }
    assert list(listed_units(store, FAILED)) == [12]
    assert list(listed_units(store, COMMITS)) == []


def test_a_unit_with_fewer_pictures_than_rows_is_not_committed(make_set, tmp_path: Path) -> None:
    made = make_set("folder")
    store = open_store(str(tmp_path / "other"))
    with pytest.raises(ValueError, match="zip"):
        store_unit(store, "folder", 0, made.reader.rows(0), pictures(3, 0), "{}")
    assert list(store.list()) == []


def test_keys_sort_as_the_units_do() -> None:
    keys = [shard_key(unit) for unit in (0, 9, 10, 99_999_999)]
    assert keys == sorted(keys)
    assert keys[0] == "shards/00000000.parquet"
