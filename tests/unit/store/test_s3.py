"""The S3 store against endpoints that misbehave."""

import base64
import hashlib
import socket
import time

import pytest
from botocore.config import Config

from cxr.errors import BadInput, StoreError
from cxr.store import capabilities, open_store, s3_client

SECRET = "canarysecret-do-not-print"


@pytest.fixture
def store(fake):
    return open_store("s3://bucket/set")


def test_every_put_carries_its_sha256(fake, store):
    store.put("k", b"data")
    headers = fake.log[-1][1]
    assert headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(b"data").digest()).decode()
    assert headers["x-amz-sdk-checksum-algorithm"] == "SHA256"
    assert headers["x-amz-content-sha256"] == hashlib.sha256(b"data").hexdigest()


def test_an_endpoint_that_honours_conditions_costs_one_extra_put(fake, store):
    assert all(store.put_if_absent(f"k{i}", b"x") for i in range(3))
    capabilities._known.clear()  # as in the machine's next process
    assert store.put_if_absent("k3", b"x")
    assert fake.puts() == 4 + 1


@pytest.mark.parametrize("cache", ["writable", "not writable"])
def test_an_endpoint_that_ignores_conditions_falls_back_with_one_warning(fake, store, aws, tmp_path, caplog, cache):
    if cache == "not writable":
        (tmp_path / "file").write_text("")
        aws.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    fake.honours_conditions = False
    assert store.put_if_absent("a", b"1")
    assert store.put_if_absent("b", b"1")
    assert not store.put_if_absent("b", b"2")
    assert store.get("b") == b"1"
    assert [r.levelname for r in caplog.records if "ignores conditional writes" in r.message] == ["WARNING"]
    assert fake.puts() == 3


def test_an_object_that_is_there_is_not_overwritten_by_asking_an_endpoint(fake, store):
    fake.honours_conditions = False
    fake.objects["/bucket/set/k"] = b"theirs"
    assert not store.put_if_absent("k", b"ours")
    assert store.get("k") == b"theirs"


def test_an_endpoint_that_refuses_conditions_is_used_without(fake, store):
    fake.faults = ["NoSuchKey", "NotImplemented", "NotImplemented"]  # to the HEAD before and to the conditional PUTs
    assert store.put_if_absent("k", b"x")
    assert capabilities.lookup(fake.endpoint, "bucket", "conditional") is False
    assert fake.objects == {"/bucket/set/k": b"x"}


def test_a_lost_answer_to_our_own_commit_counts_as_ours(fake, store):
    store.put_if_absent("warm", b"")
    fake.faults = ["lose answer"]
    assert store.put_if_absent("k", b"ours")
    assert fake.objects["/bucket/set/k"] == b"ours"


def test_a_conflict_is_tried_again(fake, store):
    store.put_if_absent("warm", b"")
    fake.faults = ["ConditionalRequestConflict"] * 2
    assert store.put_if_absent("k", b"x")


def test_a_body_that_breaks_off_is_read_again(fake, store):
    store.put("k", b"0123456789" * 1000)
    fake.faults = ["cut body"]
    assert store.get("k") == b"0123456789" * 1000
    fake.faults = ["cut body"]
    assert store.read_back("k").size == 10_000


def test_passing_slowdowns_are_outlasted(fake, store):
    fake.faults = ["SlowDown"] * 5
    store.put("k", b"x")
    assert store.get("k") == b"x"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("SlowDown", "overloaded or down .SlowDown."),
        ("QuotaExceeded", "quota .* is used up; free space"),
        ("AccessDenied", "refuses the keys .AccessDenied."),
        ("RequestTimeTooSkewed", "clock"),
        ("SomethingNew", "answers SomethingNew"),
    ],
)
def test_refusals_are_one_line_that_names_the_place_and_no_secret(fake, store, monkeypatch, code, said):
    monkeypatch.setattr(s3_client, "_MAX_OUTAGE_S", 0.1)
    fake.always = code
    with pytest.raises(StoreError, match=said) as caught:
        store.put("k", b"x")
    message = str(caught.value)
    assert message.startswith("s3://bucket/set: ") and "\n" not in message and SECRET not in message


def test_no_secret_in_what_travels_or_is_printed(fake, store, tmp_path):
    store.put("k", b"x")
    assert SECRET not in repr(store) + repr(vars(store)) + str(store.__reduce_ex__(4))
    store.put_if_absent("c", b"x")
    learned = [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert learned and SECRET not in "".join(p.name + p.read_text() for p in learned)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "nobody"}, "nobody"),
        ({"AWS_ACCESS_KEY_ID": SECRET}, "AWS_SECRET_ACCESS_KEY|secret_key"),
        ({"AWS_ENDPOINT_URL_S3": "not a url"}, "correct the AWS variables"),
        ({"AWS_ENDPOINT_URL_S3": f"http://user:{SECRET}@127.0.0.1:9"}, "127.0.0.1:9 does not answer"),
    ],
)
def test_unusable_settings_are_one_line(aws, settings, said):
    if "AWS_ENDPOINT_URL_S3" in settings:
        settings = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"} | settings
    for name, value in settings.items():
        aws.setenv(name, value)
    with pytest.raises(BadInput, match=said) as caught:
        open_store("s3://bucket/set").check()
    message = str(caught.value)
    assert message.startswith("s3://bucket/set: ") and "\n" not in message
    assert SECRET not in message


def test_an_endpoint_that_never_answers_is_noticed_within_seconds(aws):
    asked = s3_client._client_config(patient=False)
    assert asked.read_timeout * asked.retries["total_max_attempts"] <= 10
    aws.setattr(s3_client, "_client_config", lambda patient: asked.merge(Config(read_timeout=0.2)))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        aws.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{silent.getsockname()[1]}")
        aws.setenv("AWS_ACCESS_KEY_ID", "k")
        aws.setenv("AWS_SECRET_ACCESS_KEY", "s")
        began = time.monotonic()
        with pytest.raises(BadInput, match="does not answer"):
            open_store("s3://bucket/set").check()
        assert time.monotonic() - began < 5
