"""Whom a model was shown travels as a commitment that names nobody, where its pictures came from in words."""

import json

import pytest

from cxr.data import lineage
from cxr.data.lineage import (
    OF_PHANTOMS,
    PHANTOM,
    UNKNOWN,
    Shown,
    about_patients,
    in_record,
    is_phantom,
    plain_name,
    seen_by,
    seen_in,
    shown,
    sources_of,
)
from cxr.data.lineage_key import Key, owner_key

KEY, OTHER = Key(b"a secret of an owner"), Key(b"that of another one")
A, B = (shown([plain_name(name, "")], KEY) for name in ("p1", "p2"))


def test_a_patient_has_one_name_under_a_key_and_a_picture_without_patient_one_of_its_own() -> None:
    assert plain_name("p1", "a") == plain_name("p1", "b") != plain_name("p2", "a")
    assert plain_name(None, "a") != plain_name(None, "b")
    twice = shown([plain_name("p1", "b"), plain_name("p1", "a")], KEY)
    assert twice == A and twice.names == A.names and len(A.names) == 1


def test_what_is_kept_depends_on_the_key_and_on_everybody_but_not_on_the_order() -> None:
    both = [plain_name(name, "") for name in ("p1", "p2")]
    assert shown(both, KEY) == shown(both[::-1], KEY)
    assert len({shown(both, KEY).commitment, shown(both, OTHER).commitment, A.commitment, B.commitment}) == 4
    assert A.key == B.key != shown(both, OTHER).key
    assert not {*both, *A.names} & {A.commitment, A.key}


def test_a_record_holds_neither_names_nor_how_many_there_are() -> None:
    many = shown([plain_name(str(n), "") for n in range(1000)], KEY)
    told = in_record((many, A))
    assert json.loads(json.dumps(told)) == [{"key": each.key, "commitment": each.commitment} for each in (many, A)]
    assert len(json.dumps(in_record((many,)))) == len(json.dumps(in_record((A,))))
    assert seen_in({"lineage": told}) == (many, A) and seen_in({"lineage": told})[0].names is None


def test_nobody_is_not_the_same_as_not_known() -> None:
    assert seen_in({"lineage": in_record(())}) == () != seen_in({"lineage": in_record(None)})
    assert seen_in({"lineage": None}) is seen_in({}) is None
    assert (seen_in({"patients_seen": []}), seen_in({"patients_seen": None})) == ((), None)  # of version 0.1


def test_a_model_was_shown_whom_its_parts_were_shown() -> None:
    assert set(seen_by((A,), (B, A))) == {A, B} and seen_by((), ()) == ()
    assert seen_by((A,), None) is None
    without = Shown(A.key, A.commitment)
    assert [each.names for each in seen_by((without,), (A,))] == [A.names]  # a list that one has is kept


def test_names_of_version_01_are_put_under_the_key_and_warned_of(capsys) -> None:
    old = seen_in({"patients_seen": [plain_name("p2", ""), plain_name("p1", "")]})
    assert seen_by(old) == (shown([plain_name("p1", ""), plain_name("p2", "")], owner_key()),)
    lineage.warn_of_plain_names("there", (A, *old))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "there: its record tells who is in the training data" in said
    assert "jobs/protect.py there" in said
    for told in ((), None, (A,)):
        lineage.warn_of_plain_names("there", told)
    assert capsys.readouterr().err == ""


def test_sources_add_up_and_an_unknown_one_is_no_phantom() -> None:
    assert sources_of([PHANTOM, "folder"], ("folder",), [None]) == sorted([PHANTOM, "folder", UNKNOWN])
    assert is_phantom([PHANTOM, "folder"]) and not is_phantom(["folder", UNKNOWN])


@pytest.mark.parametrize(
    ("sources", "seen", "who"),
    [
        ([PHANTOM], (), "None is of a patient: what stands behind them was drawn by a program."),  # the embedded model
        ([PHANTOM], (A,), "None is of a patient: "),  # and fine-tuned on phantoms
        (["hub"], (), "This project showed the model no patient; whom others showed it"),  # a published model
        (["hub", "folder"], (A,), "One can be a near-duplicate of a training picture"),
        ([PHANTOM, "folder"], (A,), "One can be a near-duplicate of a training picture"),
        ([PHANTOM, UNKNOWN], None, "One can be a near-duplicate of a training picture"),
    ],
)
def test_a_card_promises_no_more_than_is_known(sources: list[str], seen: tuple | None, who: str) -> None:
    told = about_patients(sources, seen)
    assert told.startswith(who) and told.endswith(OF_PHANTOMS) == (PHANTOM in sources)
    assert "before you share" not in told  # as if a search made it safe
    assert ("does not make a set safe" in told) == who.startswith("One can")
