"""Keys and digests."""

import hashlib
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr.errors import BadInput
from cxr.store import ListedObject, check_key, digest_of, open_store, sha256

_NASTY = st.text(st.sampled_from("ab./\\\0\n~ é:*%\ud800-t"), max_size=30) | st.text(max_size=250)


@given(_NASTY)
def test_an_accepted_key_stays_below_the_root_and_comes_back_as_it_was(key):
    try:
        check_key(key)
    except BadInput:
        return
    path = PurePosixPath("/root") / key
    assert path.as_posix() == f"/root/{key}" and ".." not in path.parts
    assert len(key.encode()) <= 900


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


@given(key=_NASTY, data=st.binary(max_size=50))
def test_any_key_is_refused_or_stored_listed_and_deleted(place, key, data):
    store = open_store(str(place / "inner"))
    try:
        store.put(key, data)
    except BadInput:
        assert not list(place.rglob("*"))
        return
    assert list(store.list()) == [ListedObject(key, len(data))] and store.get(key) == data
    store.delete([key])
    (place / "inner").rmdir()  # empty, and nothing beside it
    assert not list(place.iterdir())


@pytest.mark.parametrize(
    "key", ["/a", "a/", "a//b", ".", "./a", "a/..", "..", "a\\b", "a\nb", "\ud800", "x" * 201, "a/" * 460 + "a"]
)
def test_keys_that_no_store_may_hold(key):
    with pytest.raises(BadInput, match="object key"):
        check_key(key)


def test_digest_of_is_that_of_the_sorted_lines_in_any_order():
    pairs = [("b", sha256(b"2")), ("a", sha256(b"1"))]
    lines = f"a {sha256(b'1')}\nb {sha256(b'2')}\n"
    assert digest_of(pairs) == digest_of(reversed(pairs)) == hashlib.sha256(lines.encode()).hexdigest()
    assert digest_of(pairs) != digest_of(pairs[:1])
