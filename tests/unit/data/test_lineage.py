"""Whom a model was shown travels as a commitment that names nobody, where its pictures came from in words."""

import json

import pytest

from cxr.data import lineage
from cxr.data.lineage import (
    PHANTOM,
    PHANTOM_NOTICE,
    UNKNOWN_SOURCE,
    UNNAMED,
    TrainingPatients,
    describe_patients,
    has_phantoms,
    hashed_id,
    merge_lineages,
    merge_sources,
    name_sources,
    pseudonymise,
    read_lineage,
    record_lineage,
)
from cxr.data.lineage_key import LineageKey, owner_key

KEY, OTHER = LineageKey(b"a secret of an owner"), LineageKey(b"that of another one")
A, B = (pseudonymise([hashed_id(name, "")], KEY) for name in ("p1", "p2"))


def test_a_patient_has_one_name_under_a_key_and_a_picture_without_patient_one_of_its_own() -> None:
    assert hashed_id("p1", "a") == hashed_id("p1", "b") != hashed_id("p2", "a")
    assert hashed_id(None, "a") != hashed_id(None, "b")
    twice = pseudonymise([hashed_id("p1", "b"), hashed_id("p1", "a")], KEY)
    assert twice == A and twice.names == A.names and len(A.names) == 1


def test_what_is_kept_depends_on_the_key_and_on_everybody_but_not_on_the_order() -> None:
    both = [hashed_id(name, "") for name in ("p1", "p2")]
    assert pseudonymise(both, KEY) == pseudonymise(both[::-1], KEY)
    assert (
        len({pseudonymise(both, KEY).commitment, pseudonymise(both, OTHER).commitment, A.commitment, B.commitment}) == 4
    )
    assert A.key == B.key != pseudonymise(both, OTHER).key
    assert not {*both, *A.names} & {A.commitment, A.key}


def test_a_record_holds_neither_names_nor_how_many_there_are() -> None:
    many = pseudonymise([hashed_id(str(n), "") for n in range(1000)], KEY)
    told = record_lineage((many, A))
    assert json.loads(json.dumps(told)) == [{"key": each.key, "commitment": each.commitment} for each in (many, A)]
    assert len(json.dumps(record_lineage((many,)))) == len(json.dumps(record_lineage((A,))))
    assert read_lineage({"lineage": told}) == (many, A) and read_lineage({"lineage": told})[0].names is None


def test_nobody_is_not_the_same_as_not_known() -> None:
    assert read_lineage({"lineage": record_lineage(())}) == () != read_lineage({"lineage": record_lineage(None)})
    assert read_lineage({"lineage": None}) is read_lineage({}) is None
    assert (read_lineage({"patients_seen": []}), read_lineage({"patients_seen": None})) == (
        (),
        None,
    )  # of version 0.1


def test_a_model_was_shown_whom_its_parts_were_shown() -> None:
    assert set(merge_lineages((A,), (B, A))) == {A, B} and merge_lineages((), ()) == ()
    assert merge_lineages((A,), None) is None
    without = TrainingPatients(A.key, A.commitment)
    assert [each.names for each in merge_lineages((without,), (A,))] == [A.names]  # a list that one has is kept


def test_names_of_version_01_are_put_under_the_key_and_warned_of(capsys) -> None:
    old = read_lineage({"patients_seen": [hashed_id("p2", ""), hashed_id("p1", "")]})
    assert merge_lineages(old) == (pseudonymise([hashed_id("p1", ""), hashed_id("p2", "")], owner_key()),)
    lineage.warn_of_hashed_ids("there", (A, *old))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "there: its record tells who is in the training data" in said
    assert "jobs/protect.py there" in said
    for told in ((), None, (A,)):
        lineage.warn_of_hashed_ids("there", told)
    assert capsys.readouterr().err == ""


def test_sources_add_up_and_an_unknown_one_is_no_phantom() -> None:
    assert merge_sources([PHANTOM, "folder"], ("folder",)) == ["folder", PHANTOM]
    assert name_sources([PHANTOM, None, PHANTOM]) == sorted([PHANTOM, UNKNOWN_SOURCE])
    assert has_phantoms([PHANTOM, "folder"]) and not has_phantoms(["folder", UNKNOWN_SOURCE])


def test_a_source_that_few_pictures_share_is_not_named_as_it_may_be_a_patients_file() -> None:
    """A table of NIH's pictures had files as sources, and every card of a model of it told them all."""
    files = [f"NIH/0000{patient}_000.png" for patient in range(30)]
    assert name_sources(files) == [UNNAMED]
    assert name_sources([*files[:3], *["Hospital A"] * 10]) == sorted(["Hospital A", UNNAMED])
    assert name_sources(["Hospital A"] * 3) == ["Hospital A"]
    assert merge_sources(files, [PHANTOM]) == sorted([PHANTOM, UNNAMED])  # as records of version 0.1 have them
    assert merge_sources(merge_sources(files), ["Hospital B"]) == sorted(["Hospital B", UNNAMED])


@pytest.mark.parametrize(
    ("sources", "seen", "who"),
    [
        (
            [PHANTOM],
            (),
            "None is of a patient: what stands behind them was drawn by a program.",
        ),  # the embedded model
        ([PHANTOM], (A,), "None is of a patient: "),  # and fine-tuned on phantoms
        (["hub"], (), "This project showed the model no patient; whom others showed it"),  # a published model
        (["hub", "folder"], (A,), "One can be a near-duplicate of a training picture"),
        ([PHANTOM, "folder"], (A,), "One can be a near-duplicate of a training picture"),
        ([PHANTOM, UNKNOWN_SOURCE], None, "One can be a near-duplicate of a training picture"),
    ],
)
def test_a_card_promises_no_more_than_is_known(sources: list[str], seen: tuple | None, who: str) -> None:
    told = describe_patients(sources, seen)
    assert told.startswith(who) and told.endswith(PHANTOM_NOTICE) == (sources == [PHANTOM])
    assert ("Behind them are phantoms and " in told) == (PHANTOM in sources and len(sources) > 1)
    assert "before you share" not in told  # as if a search made it safe
    assert ("does not make a set safe" in told) == who.startswith("One can")
