"""The S3 store against a real server: refusals, outages, commits counted at the server, verification."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.artifact import Made, Record, commit_record, recipe_digest, refuse_other, verify
from cxr.errors import BadInput, StoreError
from cxr.store import capabilities, digest_of, open_store
from cxr.store.s3_client import connect

_VERIFY = Path(__file__).parents[2] / "jobs" / "verify.py"
_CANARY = "canarysecret-do-not-print"


def _answer(uri: str) -> str:
    connect.cache_clear()
    with pytest.raises(BadInput) as caught:
        open_store(uri).check()
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{uri}: ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("variable", "code"),
    [("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"), ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId")],
)
def test_refused_keys_are_named_but_never_shown(s3, monkeypatch, variable, code):
    uri = f"s3://{s3.make_bucket()}/set"
    monkeypatch.setenv(variable, _CANARY)
    message = _answer(uri)
    assert code in message and "AWS_ACCESS_KEY_ID" in message
    store = open_store(uri)
    for use in (lambda: store.put("k", b""), lambda: store.get("k"), lambda: list(store.list())):
        with pytest.raises(StoreError, match=code) as caught:
            use()
        message += str(caught.value)
    assert _CANARY not in message + repr(store) + repr(store.__dict__)


def test_missing_bucket(s3):
    assert "there is no bucket 'no-such-bucket'" in _answer("s3://no-such-bucket/x")


def test_dead_endpoint_is_answered_within_seconds(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    began = time.monotonic()
    assert "http://127.0.0.1:9 does not answer" in _answer("s3://bucket/x")
    assert time.monotonic() - began < 8


def test_one_extra_put_teaches_the_machine_about_an_endpoint(s3):
    bucket = s3.make_bucket()
    store = open_store(f"s3://{bucket}/set")
    before = len(s3.requests(bucket))
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda i: store.put_if_absent(f"k{i}", b"x"), range(8)))
    capabilities._known.clear()  # as another process of this machine
    assert store.put_if_absent("last", b"x")
    assert len(s3.requests(bucket)) - before == 9 + 1


@pytest.mark.slow
def test_gateway_killed_and_restarted_during_puts_loses_nothing(s3):
    store = open_store(f"s3://{s3.make_bucket()}/set")
    data = {f"images/{i}": b"%d" % i * 3000 for i in range(300)}
    started = threading.Event()

    def write(item: tuple[str, bytes]) -> bool:
        if item[0] == "images/60":
            started.set()
        return store.put_if_absent(*item)

    with ThreadPoolExecutor(32) as pool:
        written = [pool.submit(write, item) for item in data.items()]
        assert started.wait(60)
        s3.kill_gateway()
        time.sleep(8)
        s3.start_gateway()
        assert all(f.result() for f in written)
    assert {k: store.get(k) for k, _ in store.list()} == data


def _artifact(store, recipe: dict, images: dict[str, bytes]) -> Record:
    stored = [store.put(key, data) for key, data in images.items()]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"key": [s.key for s in stored], "sha256": [s.sha256 for s in stored]}), sink)
    catalog = store.put("catalog.parquet", sink.getvalue().to_pybytes())
    made = Made(
        count=len(stored), bytes=sum(s.size for s in stored), digest=digest_of((s.key, s.sha256) for s in stored)
    )
    record = Record(kind="images", recipe=recipe, recipe_digest=recipe_digest(recipe), made=made, objects=[catalog])
    return commit_record(store, record)


def test_verify_names_what_is_missing_damaged_and_extra(s3):
    bucket = s3.make_bucket()
    store = open_store(f"s3://{bucket}/set")
    _artifact(store, {"steps": 30}, {f"images/{i}.png": b"%d" % i for i in range(200)})
    clean = verify(store)
    assert clean.clean and clean.checked == 201
    behind = s3.client()
    behind.delete_object(Bucket=bucket, Key="set/images/7.png")
    behind.put_object(Bucket=bucket, Key="set/images/8.png", Body=b"9")
    behind.put_object(Bucket=bucket, Key="set/images/new.png", Body=b"9")
    found = verify(store)
    assert (found.missing, found.damaged, found.extra) == (["images/7.png"], ["images/8.png"], ["images/new.png"])
    job = subprocess.run([sys.executable, _VERIFY, store.uri], capture_output=True, text=True)
    assert job.returncode == 1
    assert "1 missing, 1 extra, 1 damaged" in job.stdout and "missing: images/7.png" in job.stdout
    assert s3.env["AWS_SECRET_ACCESS_KEY"] not in job.stdout + job.stderr


def test_of_two_runs_the_second_gets_the_firsts_record_and_another_recipe_is_refused(s3):
    store = open_store(f"s3://{s3.make_bucket()}/set")
    first = _artifact(store, {"steps": 30}, {"images/a.png": b"a"})
    again = first.model_copy(update={"timings": {"total": 5.0}})
    assert commit_record(store, again) == first
    refuse_other(store, "images", {"steps": 30})
    with pytest.raises(BadInput, match="steps 30 -> 50"):
        refuse_other(store, "images", {"steps": 50})


def test_an_unfinished_artifact_of_another_recipe_is_refused_by_its_plan(s3):
    store = open_store(f"s3://{s3.make_bucket()}/set")
    recipe = {"sampler": {"steps": 30}}
    marks = {"cxr.recipe": json.dumps(recipe), "cxr.recipe_digest": recipe_digest(recipe)}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"image_id": ["a"]}).replace_schema_metadata(marks), sink)
    store.put("plan.parquet", sink.getvalue().to_pybytes())
    refuse_other(store, "images", recipe)
    with pytest.raises(BadInput, match=r"sampler\.steps 30 -> 20"):
        refuse_other(store, "images", {"sampler": {"steps": 20}})
