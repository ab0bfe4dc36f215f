"""What every store promises, on a local folder and on a real S3 server."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.errors import BadInput
from cxr.store import ListedObject, Store, StoredObject, open_store, sha256


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "set"))
    return open_store(f"s3://{request.getfixturevalue('s3').make_bucket()}/some/set")


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 40_000])
def test_what_is_put_is_got_back_with_its_size_and_sha256(store, data):
    stored = store.put("images/a b/é+&%#?.png", data)
    assert stored == StoredObject("images/a b/é+&%#?.png", len(data), sha256(data))
    assert store.get(stored.key) == data
    assert store.read_back(stored.key) == stored
    assert store.exists(stored.key)


def test_put_replaces_the_whole_object(store):
    store.put("k", b"long content")
    store.put("k", b"short")
    assert store.get("k") == b"short"
    assert list(store.list()) == [ListedObject("k", 5)]


def test_absent_objects(store):
    assert list(store.list()) == []
    store.put("folder/k", b"1")
    for key in ("other", "folder", "folder/k/deeper"):
        assert not store.exists(key)
        with pytest.raises(KeyError):
            store.get(key)
        with pytest.raises(KeyError):
            store.read_back(key)


def test_commit_is_ours_again_when_its_content_is_ours_and_refused_when_not(store):
    assert store.put_if_absent("c", b"mine")
    assert store.put_if_absent("c", b"mine")
    assert not store.put_if_absent("c", b"other")
    assert store.get("c") == b"mine"


def test_twenty_races_have_one_winner_each(store):
    store.put_if_absent("warm", b"")
    for race in range(20):
        start = threading.Barrier(4)

        def commit(who: int, race: int = race, start: threading.Barrier = start) -> bool:
            start.wait()
            return store.put_if_absent(f"race/{race}", b"%d" % who)

        with ThreadPoolExecutor(4) as pool:
            won = list(pool.map(commit, range(4)))
        assert won.count(True) == 1
        assert store.get(f"race/{race}") == b"%d" % won.index(True)


def test_list_by_prefix_sees_all_pages_and_only_below_the_root(store):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda i: store.put(f"units/{i:04}", b"u"), range(1100)))  # S3 lists 1,000 at a time
    store.put("unit", b"a")
    open_store(store.uri + "2").put("neighbour", b"n")
    assert {k for k, _ in store.list("units/")} == {f"units/{i:04}" for i in range(1100)}
    assert {k for k, _ in store.list("units/001")} == {f"units/{i:04}" for i in range(10, 20)}
    assert {k for k, _ in store.list("unit")} == {f"units/{i:04}" for i in range(1100)} | {"unit"}
    store.delete([f"units/{i:04}" for i in range(1100)] + ["never/there"])
    assert list(store.list()) == [ListedObject("unit", 1)]


def test_a_store_travels_by_pickle(store):
    store.put("k", b"1")
    assert pickle.loads(pickle.dumps(store)).get("k") == b"1"
    assert pickle.loads(pickle.dumps(store)) == store


def test_arrow_reads_parquet_columns(store):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"key": ["a", "b"], "n": [1, 2]}), sink)
    store.put("sub/catalog.parquet", sink.getvalue().to_pybytes())
    table = pq.read_table(store.open("sub/catalog.parquet"), columns=["n"])
    assert table.to_pydict() == {"n": [1, 2]}
    with pytest.raises(KeyError):
        store.open("absent")


def test_check_accepts_a_place_and_writes_nothing(store):
    store.check()
    assert list(store.list()) == []
    store.put("k", b"1")
    store.check()
    store.check(write=False)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a\\b", "a\0b", ".tmp-x"])
def test_bad_keys_are_refused_by_every_method(store, key):
    for use in (store.get, store.exists, store.read_back, lambda k: store.put(k, b""), lambda k: store.delete([k])):
        with pytest.raises(BadInput, match="object key"):
            use(key)
    with pytest.raises(BadInput, match="object key"):
        store.put_if_absent(key, b"")
