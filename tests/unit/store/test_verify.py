"""Reading an artifact back."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.artifact import Made, Record, commit_record, recipe_digest, verify
from cxr.errors import BadInput
from cxr.jobs.verify import Args, main
from cxr.store import open_store

_JOB = Path(__file__).parents[3] / "jobs" / "verify.py"


@pytest.fixture
def store(tmp_path):
    """300 images listed by the catalog, 2 other objects named by the record."""
    store = open_store(str(tmp_path / "set"))
    images = [store.put(f"images/{i}.png", b"%d" % i) for i in range(300)]
    sink = pa.BufferOutputStream()
    table = pa.table({"key": [s.key for s in images], "sha256": [s.sha256 for s in images], "finding": ["x"] * 300})
    pq.write_table(table, sink, row_group_size=100)
    objects = [store.put("catalog.parquet", sink.getvalue().to_pybytes()), store.put("README.md", b"card")]
    made = Made(count=300, bytes=0, digest="")
    commit_record(store, Record(kind="images", recipe={}, recipe_digest=recipe_digest({}), made=made, objects=objects))
    return store


def _job(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, _JOB, *arguments], capture_output=True, text=True)


def test_a_whole_artifact_is_clean_and_every_object_was_read(store):
    seen = []
    found = verify(store, lambda so_far: seen.append(so_far.checked))
    assert found.clean and found.checked == 302 and seen == list(range(1, 303))
    assert found.bytes == sum(size for key, size in store.list() if key != "record.json")


def test_what_is_missing_damaged_and_extra_is_named(store):
    store.delete(["images/7.png", "README.md"])
    store.put("images/8.png", b"9")  # same size
    store.put("images/9.png", b"99")
    store.put("images/x.png", b"")
    (store.root / "images" / ".tmp-host-1-1").write_bytes(b"")  # a killed writer's, no object
    found = verify(store)
    assert found.missing == ["README.md", "images/7.png"]
    assert found.damaged == ["images/8.png", "images/9.png"]
    assert found.extra == ["images/x.png"]


@pytest.mark.parametrize("damage", [lambda s: s.delete(["catalog.parquet"]), lambda s: s.put("catalog.parquet", b"no")])
def test_a_lost_catalog_is_reported_and_its_images_are_not_called_extra(store, damage):
    damage(store)
    found = verify(store)
    assert found.missing + found.damaged == ["catalog.parquet"] and found.extra == []


def test_shards_named_by_record_and_catalog_are_read_once(tmp_path):
    store = open_store(str(tmp_path / "set"))
    shard = store.put("shards/0.parquet", b"shard")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"key": [shard.key] * 3, "sha256": ["of the image inside"] * 3}), sink)
    objects = [shard, store.put("catalog.parquet", sink.getvalue().to_pybytes())]
    made = Made(count=3, bytes=0, digest="")
    commit_record(store, Record(kind="images", recipe={}, recipe_digest=recipe_digest({}), made=made, objects=objects))
    found = verify(store)
    assert found.clean and found.checked == 2


def test_an_unfinished_artifact_is_bad_input(store):
    store.delete(["record.json"])
    with pytest.raises(BadInput, match=r"no record\.json, so unfinished"):
        verify(store)


def test_the_job_prints_counts_and_at_most_twenty_names(store, capsys):
    assert main(Args(store.uri)) == 0 and "302 objects" in capsys.readouterr().out
    store.delete([f"images/{i}.png" for i in range(25)])
    assert main(Args(store.uri)) == 1
    told = capsys.readouterr().out
    assert "25 missing, 0 extra, 0 damaged" in told
    assert told.count("missing: images/") == 20 and "missing: and 5 more" in told


@pytest.mark.parametrize("uri", ["gs://x/y", "/no/such/folder"])
def test_the_job_answers_bad_input_with_one_line_and_2(uri):
    done = _job(uri)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1 and uri in done.stderr
