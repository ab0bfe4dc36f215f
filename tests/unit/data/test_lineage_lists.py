"""What can be told of a generator's patients in a real set: with a list, without one, and with the wrong key."""

import json
from pathlib import Path

import pytest

from cxr.artifact import Made, Record, commit_record, recipe_digest
from cxr.artifact.kinds import FINE_TUNED_MODEL
from cxr.data.catalog import CatalogSet
from cxr.data.lineage import LINEAGE, TrainingPatients, hashed_id, pseudonymise, read_lineage, record_lineage
from cxr.data.lineage_key import VARIABLE, LineageKey, lists_folder, owner_key
from cxr.data.lineage_lists import (
    LINEAGE_KEY,
    NO_LISTS,
    Overlap,
    attach_lists,
    compare_patients,
    encode_lists,
    find_shown,
    read_lists,
    read_lists_option,
    save_for_owner,
)
from cxr.errors import BadInput
from cxr.store import open_store

PARTS = ["train"] * 6 + ["validation"] * 2 + ["test"] * 4


@pytest.fixture(scope="module")
def real(stored_set) -> CatalogSet:
    """Patients p0 to p4 of two pictures each, and two pictures without a patient, in the test part."""
    import numpy as np

    patients = [f"p{row // 2}" for row in range(10)] + [None, None]
    pixels = np.zeros((12, 8, 8), np.uint8)
    return stored_set("real", pixels, split=PARTS, patient_id=patients, finding=["a", "a", "b", "b"] * 3)


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))


def of(*patients: str, key: LineageKey | None = None) -> TrainingPatients:
    return pseudonymise([hashed_id(name, "") for name in patients], key or owner_key())


def recorded(*trainings: TrainingPatients) -> tuple[TrainingPatients, ...]:
    """As a set's record tells it."""
    return read_lineage({"lineage": record_lineage(trainings)})


@pytest.mark.parametrize(
    ("patients", "expected"),
    [
        (("p0", "p1", "p2", "p3"), Overlap(shown=4)),  # all of train and validation
        (("p0", "p2"), Overlap(shown=2)),  # those with finding a
        (("p1", "p3"), Overlap(shown=2)),  # those with finding b
    ],
)
def test_without_a_list_the_real_sets_own_parts_are_recognised(real, patients, expected) -> None:
    assert compare_patients(recorded(of(*patients)), real.table, NO_LISTS) == expected


@pytest.mark.parametrize("patients", [("p0",), ("p0", "p1", "p2", "p3", "p4"), ("x", "y"), ("p4",)])
def test_others_cannot_be_told_without_a_list(real, patients) -> None:
    found = compare_patients(recorded(of(*patients)), real.table, NO_LISTS)
    assert found.shown == found.outside == found.tested == 0 and "give --lineage" in found.unchecked


@pytest.mark.parametrize(
    ("patients", "outside", "tested"),
    [(("p0",), 0, 0), (("p0", "p4", "real-0010", "x"), 3, 2), (("x", "y"), 2, 0)],
)
@pytest.mark.parametrize("way", ["beside the model", "kept for the owner"])
def test_a_list_tells_who_is_where(real, tmp_path, patients, outside, tested, way) -> None:
    seen, lists = of(*patients), NO_LISTS
    if way == "beside the model":
        store = open_store(str(tmp_path / "model"))
        store.put(LINEAGE_KEY, encode_lists((seen,)))
        lists = read_lists_option("--lineage", store.uri)
    else:
        save_for_owner((seen,))
    assert compare_patients(recorded(seen), real.table, lists) == Overlap(
        shown=len(patients), outside=outside, tested=tested
    )


def test_every_training_behind_a_model_counts(real) -> None:
    whole, strange = of("p0", "p1", "p2", "p3"), of("x", "p4")
    half_known = compare_patients(recorded(whole, strange), real.table, NO_LISTS)
    assert half_known.shown == 4 and "give --lineage" in half_known.unchecked
    found = compare_patients(recorded(whole, strange), real.table, {strange.commitment: strange})
    assert found == Overlap(shown=6, outside=2, tested=1)


def test_nobody_passes_without_a_key_and_unknown_stays_unknown(real, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert compare_patients((), real.table, NO_LISTS) == Overlap(nobody=True)
    assert "not known which patients" in compare_patients(None, real.table, NO_LISTS).unchecked
    assert not (tmp_path / "config").exists()


def test_under_another_key_or_none_nothing_can_be_checked(real, tmp_path, monkeypatch) -> None:
    seen = of("p0", "p1", "p2", "p3")
    lists = {seen.commitment: seen}
    monkeypatch.setenv(VARIABLE, "another secret of another owner")
    said = compare_patients(recorded(seen), real.table, lists).unchecked
    assert seen.key in said and owner_key().id in said and f"set {VARIABLE}" in said
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    said = compare_patients(recorded(seen), real.table, lists).unchecked
    assert seen.key in said and "there is none here" in said
    assert not (tmp_path / "config").exists()  # a new key would not help


def test_a_list_that_was_changed_is_refused(real) -> None:
    seen = of("x", "y")
    forged = TrainingPatients(seen.key, seen.commitment, of("p0").names)
    with pytest.raises(BadInput, match="is damaged"):
        compare_patients(recorded(seen), real.table, {seen.commitment: forged})


def test_lists_lie_in_a_file_of_keyed_names_and_are_the_owners_alone(tmp_path) -> None:
    seen = of("p0", "p1")
    save_for_owner((seen,))
    (kept,) = lists_folder().iterdir()
    assert (kept.name, kept.stat().st_mode & 0o777) == (f"{seen.commitment}.json", 0o600)
    assert lists_folder().stat().st_mode & 0o777 == 0o700
    (told,) = json.loads(kept.read_bytes())["lineage"]
    assert told["patients"] == list(seen.names) and not {hashed_id("p0", ""), "p0"} & set(told["patients"])


def test_a_list_that_cannot_be_kept_is_told_and_stops_nothing(monkeypatch, tmp_path, capsys) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    save_for_owner((of("p0"), of("p1")))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "give --lineage" in said


def test_a_models_place_gives_its_lists_to_what_is_made_with_it(tmp_path) -> None:
    store, seen = open_store(str(tmp_path / "model")), of("p0")
    assert read_lists(store) == {}
    store.put(LINEAGE_KEY, encode_lists((seen, TrainingPatients("k", "of a list that is not at hand"))))
    (held,) = attach_lists(recorded(seen), read_lists(store))
    assert held.names == seen.names
    assert attach_lists(None, {}) is None and attach_lists((), {}) == ()
    store.put(LINEAGE_KEY, b"{}")
    with pytest.raises(BadInput, match=r"lineage.json: damaged"):
        read_lists(store)


def test_a_place_without_a_list_is_refused(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"--lineage .*: no lineage.json there; give the --out of jobs/finetune.py"):
        read_lists_option("--lineage", str(tmp_path / "empty"))
    assert read_lists_option("--lineage", None) == {}


def test_a_model_whose_base_nobody_knows_the_patients_of_has_no_list_and_is_not_refused(tmp_path) -> None:
    store, made = open_store(str(tmp_path / "model")), Made(count=1, bytes=1, digest="")
    record = Record(kind=FINE_TUNED_MODEL, recipe={}, recipe_digest=recipe_digest({}), made=made, objects=[],
                    metrics={LINEAGE: None})  # fmt: skip
    store.put(LINEAGE_KEY, encode_lists(None))
    commit_record(store, record)
    assert read_lists_option("--lineage", store.uri) == {}


def test_whose_pictures_a_generator_was_shown_is_told_by_row_where_its_list_is_at_hand(real) -> None:
    shown = find_shown(recorded(of("p0", "p2")), real.table, NO_LISTS)  # all who have finding a
    assert shown.tolist() == [True, True, False, False, True, True] + [False] * 6
    named = of("p1")
    assert find_shown(recorded(named), real.table, {named.commitment: named}).nonzero()[0].tolist() == [2, 3]
    assert find_shown(recorded(of("p1")), real.table, NO_LISTS) is None  # there is no list of one patient
    assert find_shown(None, real.table, NO_LISTS) is find_shown((), real.table, NO_LISTS) is None
