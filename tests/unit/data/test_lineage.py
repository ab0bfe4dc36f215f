"""Whom a model has seen travels in hashes, and what is not known stays so."""

from cxr.data.lineage import hashed, seen_by


def test_patients_are_the_same_in_every_set_and_not_named() -> None:
    assert hashed("p1", "a") == hashed("p1", "b") != hashed("p2", "a")
    assert hashed(None, "a") != hashed(None, "b")  # a picture without a patient is one of its own
    assert "p1" not in hashed("p1", "a")


def test_a_model_has_seen_whom_its_parts_have_seen() -> None:
    assert seen_by({"b", "a"}, ("c", "a")) == ["a", "b", "c"]
    assert seen_by(["a"], None) is None and seen_by((), ()) == []
