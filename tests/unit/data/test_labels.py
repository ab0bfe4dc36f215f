import numpy as np
import pyarrow as pa
import pytest

from cxr.data.catalog import read_set
from cxr.data.labels import (
    LISTS,
    LabelPolicy,
    Labels,
    Vocabulary,
    exclusive_columns,
    label_matrix,
    merge_findings,
    merge_readings,
)
from cxr.prompts.lists import NO_FINDING

FINDINGS = ("Effusion", "Mass", "Nodule")
NAN = float("nan")


def table_of(labels: list[Labels]) -> pa.Table:
    rows = [one.as_columns(FINDINGS) for one in labels]
    return pa.table({name: pa.array([row[name] for row in rows], pa.list_(pa.string())) for name in LISTS})


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (LabelPolicy(), [[1, 0, NAN], [0, 1, 0], [NAN, NAN, NAN], [0, 0, 0]]),
        (LabelPolicy(uncertain="present", unknown="absent"), [[1, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]]),
        (LabelPolicy(uncertain="absent", unknown="present"), [[1, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 0]]),
    ],
)
def test_the_policy_alone_decides_what_doubt_and_silence_count_as(policy: LabelPolicy, expected: list) -> None:
    labels = [Labels(("Effusion",), ("Mass",), ("Nodule",)), Labels.only("Mass"), Labels(), Labels((), None)]
    np.testing.assert_array_equal(label_matrix(table_of(labels), FINDINGS, policy), np.array(expected, np.float32))


def test_columns_are_the_findings_asked_for_in_that_order() -> None:
    labels = [Labels(("Effusion", "Nodule"), ("Mass",)), Labels.only("Mass")]
    assert label_matrix(table_of(labels), ("Nodule", "Hernia"), LabelPolicy(unknown="absent")).tolist() == [
        [1, 0],
        [0, 0],
    ]


def test_a_folder_names_what_is_present_and_none_only_where_all_are_known_to_be_absent() -> None:
    assert Labels(("Mass", "Effusion"), ("Nodule",)).folder(FINDINGS) == "Mass+Effusion"
    assert Labels((), None).folder(FINDINGS) == Labels((), FINDINGS).folder(FINDINGS) == NO_FINDING
    assert Labels((), ("Mass",)).folder(FINDINGS) == Labels((), None, ("Mass",)).folder(FINDINGS) == "unlabelled"
    assert Labels().folder(FINDINGS) == "unlabelled"
    many = Labels(tuple(f"Finding_number_{n:02d}" for n in range(12))).folder(())
    assert len(many) <= 120 and many.startswith("Finding_number_00+Finding_number_01+") and many.endswith("+6_more")


def test_findings_that_exclude_each_other_are_a_special_case_of_lists() -> None:
    columns = exclusive_columns(pa.chunked_array([["Mass", "unlabelled"], ["Nodule"]]))
    assert columns["present"].to_pylist() == [["Mass"], [], ["Nodule"]]
    assert columns["absent"].to_pylist() == [["Nodule"], [], ["Mass"]]
    assert columns["uncertain"].to_pylist() == [[], [], []]


@pytest.mark.parametrize(
    ("labels", "state"),
    [
        (Labels(("Mass",), ("Nodule",)), "present"),
        (Labels(("Mass",), (), ("Nodule",)), "present"),
        (Labels((), ("Mass", "Nodule")), "absent"),
        (Labels(("Effusion",), None), "absent"),
        (Labels((), ("Mass",), ("Nodule",)), "uncertain"),
        (Labels((), (), ("Nodule",)), "uncertain"),
        (Labels((), ("Mass",)), None),
        (Labels(), None),
    ],
)
def test_a_merged_finding_is_present_if_any_is_and_absent_if_all_are(labels: Labels, state: str | None) -> None:
    assert merge_findings(labels, {"Lesion": ("Mass", "Nodule")}).state("Lesion") == state


def test_merging_keeps_nothing_of_findings_that_were_not_asked_for() -> None:
    labels = Labels(("Mass",), ("Effusion",), ("Nodule",))
    assert merge_findings(labels, {"Fluid": ("Effusion",), "Nodule": ("Nodule",)}) == Labels(
        (), ("Fluid",), ("Nodule",)
    )


def test_readers_of_one_picture_are_merged_as_findings_are() -> None:
    first, second = Labels(("Mass",), ("Effusion", "Nodule")), Labels((), ("Effusion", "Mass"), ("Nodule",))
    assert merge_readings([first, second]) == Labels(("Mass",), ("Effusion",), ("Nodule",))
    assert merge_readings([Labels.only("Mass"), Labels.only("Nodule")]) == Labels(("Mass", "Nodule"), None)


def test_a_set_of_version_01_is_read_as_exclusive(stored_set) -> None:
    pixels = np.zeros((3, 8, 8), np.uint8)
    pixels[:, 0, 0] = range(3)
    found = read_set(stored_set("old", pixels, finding=["mass", "normal", "mass"]).store)
    assert found.vocabulary == Vocabulary(("mass", "normal"), exclusive=True)
    assert found.table["present"].to_pylist() == [["mass"], ["normal"], ["mass"]]
    assert found.table["absent"].to_pylist() == [["normal"], ["mass"], ["normal"]]
