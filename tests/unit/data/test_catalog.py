import numpy as np
import pyarrow.compute as pc
import pytest

from cxr.artifact import verify
from cxr.data.catalog import CATALOG, list_rows, read_images, read_set, read_unscaled
from cxr.data.images import encode_png
from cxr.data.lineage import PHANTOM
from cxr.errors import BadInput
from cxr.store import open_store


def noise(count: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)


@pytest.mark.parametrize("shards", [False, True])
def test_rows_come_back_as_their_pictures_in_their_order(stored_set, shards: bool):
    made, shown, heard = noise(11), [], []
    found = stored_set("set", made, shards, finding=["a", "b"] * 5 + ["a"])
    assert found.table.schema.equals(CATALOG) and verify(found.store).clean
    chosen = np.random.default_rng(1).permutation(11)[:7]
    shown = read_images(found.store, found.table.take(chosen), 32, heard.append)
    assert np.array_equal(shown, made[chosen]) and sum(heard) == 7
    assert read_images(found.store, found.table.take(chosen), 16).shape == (7, 16, 16)
    assert read_images(found.store, found.table.slice(0, 0), 16).shape == (0, 16, 16)


@pytest.mark.parametrize("shards", [False, True])
def test_pictures_as_stored_are_of_one_size_or_refused(stored_set, shards: bool):
    made = noise(9)[:, :, :20]
    found = stored_set("set", made, shards)
    assert np.array_equal(read_unscaled(found.store, found.table.take([7, 2, 8])), made[[7, 2, 8]])
    mixed = stored_set("mixed", [*noise(3), *made], shards)
    with pytest.raises(BadInput, match="mixed: its pictures are of several sizes, 20 x 32 and 32 x 32; give a set of"):
        read_unscaled(mixed.store, mixed.table)


@pytest.mark.parametrize("shards", [False, True])
def test_a_picture_that_is_not_the_catalogs_is_refused(stored_set, tmp_path, shards: bool):
    found = stored_set("set", noise(5), shards)
    key = found.table["key"][4].as_py()
    other = stored_set("other", 255 - noise(5), shards)
    found.store.put(key, other.store.get(other.table["key"][4].as_py()))
    with pytest.raises(BadInput, match=r"set-0004"):
        read_images(found.store, found.table, 32)
    found.store.delete([key])
    with pytest.raises(BadInput, match=r"missing or lacks set-0004|cannot be read"):
        read_images(found.store, found.table, 32)
    fine = found.table.filter(pc.not_equal(found.table["key"], key))
    assert len(read_images(found.store, fine, 32)) == 4


def test_what_is_no_finished_set_is_refused(stored_set, tmp_path):
    with pytest.raises(BadInput, match="no such folder"):
        read_set(open_store(str(tmp_path / "nowhere")))
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "x.png").write_bytes(encode_png(noise(1)[0]))
    with pytest.raises(BadInput, match=r"no record\.json"):
        read_set(open_store(str(tmp_path / "holiday")))
    found = stored_set("set", noise(3))
    found.store.put("catalog.parquet", b"x")
    with pytest.raises(BadInput, match="missing or damaged"):
        read_set(found.store)


def test_a_set_came_from_where_its_record_says_or_else_its_catalog(stored_set):
    assert stored_set("taken in", noise(11), source=[PHANTOM, *["folder"] * 10]).sources == ["folder", PHANTOM]
    assert stored_set("made", noise(3), metrics={"sources": [PHANTOM]}, source=["GAN"] * 3).sources == [PHANTOM]


def test_rows_that_share_their_values_are_those_of_the_table(stored_set):
    table = stored_set("set", noise(5), finding=["a", "b", "a", "a", "b"]).table
    rows = list_rows(table)
    assert rows == table.to_pylist()
    assert rows[0]["absent"] is rows[2]["absent"] is not rows[1]["absent"]
