"""Whom a model has seen travels in hashes, where its pictures came from in words; what is not known stays so."""

import pytest

from cxr.data.lineage import OF_PHANTOMS, PHANTOM, UNKNOWN, about_patients, hashed, is_phantom, seen_by, sources_of


def test_patients_are_the_same_in_every_set_and_not_named() -> None:
    assert hashed("p1", "a") == hashed("p1", "b") != hashed("p2", "a")
    assert hashed(None, "a") != hashed(None, "b")  # a picture without a patient is one of its own
    assert "p1" not in hashed("p1", "a")


def test_a_model_has_seen_whom_its_parts_have_seen() -> None:
    assert seen_by({"b", "a"}, ("c", "a")) == ["a", "b", "c"]
    assert seen_by(["a"], None) is None and seen_by((), ()) == []


def test_sources_add_up_and_an_unknown_one_is_no_phantom() -> None:
    assert sources_of([PHANTOM, "folder"], ("folder",), [None]) == sorted([PHANTOM, "folder", UNKNOWN])
    assert is_phantom([PHANTOM, "folder"]) and not is_phantom(["folder", UNKNOWN])


@pytest.mark.parametrize(
    ("sources", "seen", "who"),
    [
        ([PHANTOM], [], "None is of a patient. "),  # the embedded model
        ([PHANTOM], ["a"], "None is of a patient. "),  # and fine-tuned on phantoms
        (["hub"], [], "None is of a patient whom this project showed the model."),  # a published model
        (["hub", "folder"], ["a"], "One can be a near-duplicate of a training picture, and a model can tell of"),
        ([PHANTOM, "folder"], ["a"], "One can be a near-duplicate of a training picture, and a model can tell of"),
        ([PHANTOM, UNKNOWN], None, "One can be a near-duplicate of a training picture, and a model can tell of"),
    ],
)
def test_a_card_promises_no_more_than_is_known(sources: list[str], seen: list[str] | None, who: str) -> None:
    told = about_patients(sources, seen)
    assert told.startswith(who) and told.endswith(OF_PHANTOMS) == (PHANTOM in sources)
