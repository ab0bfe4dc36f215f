"""--findings: some of the source's findings, or several as one."""

from collections.abc import Sequence

import pytest

from cxr.data.boxes import Box
from cxr.data.labels import Labels
from cxr.data.sources import SourceRow
from cxr.data.sources.chosen_findings import choose_findings, parse_findings
from cxr.errors import BadInput

ALL = ("Edema", "Mass", "Nodule")
SEVERAL = [
    Labels(("Mass",), ("Edema", "Nodule")),
    Labels((), ("Edema", "Mass"), ("Nodule",)),
    Labels((), ALL),
    Labels(("Edema",), ("Mass",)),
]
ONE = [Labels.only("normal"), Labels.only("viral pneumonia"), Labels.only("bacterial pneumonia"), Labels()]
MERGED = "normal,pneumonia,pneumonia=bacterial pneumonia,pneumonia=viral pneumonia"


def chosen(labels: Sequence[Labels], text: str, default: str = "", exclusive: bool = False) -> list[Labels]:
    rows = [SourceRow(str(n), bytes, one, exclusive) for n, one in enumerate(labels)]
    return [row.labels for row in choose_findings(rows, text, default)]


def test_the_sources_own_stay_where_none_are_asked_for():
    assert chosen(SEVERAL, "") == SEVERAL


def test_findings_are_picked_and_merged():
    assert chosen(SEVERAL, "Lesion=mass,Lesion=Nodule,Edema") == [
        Labels(("Lesion",), ("Edema",)),
        Labels((), ("Edema",), ("Lesion",)),
        Labels((), ("Lesion", "Edema")),
        Labels(("Edema",)),
    ]


def test_pictures_of_other_findings_are_left_out_where_findings_exclude_each_other():
    assert chosen(ONE, "normal,viral pneumonia", exclusive=True) == [
        Labels.only("normal"), Labels.only("viral pneumonia"), Labels(),
    ]  # fmt: skip


def test_a_source_may_merge_by_itself_and_what_it_merges_can_be_asked_for():
    two = [Labels.only("normal"), Labels.only("pneumonia"), Labels.only("pneumonia"), Labels()]
    assert chosen(ONE, "", MERGED, exclusive=True) == two
    assert chosen(ONE, "Pneumonia", MERGED, exclusive=True) == [*([Labels.only("Pneumonia")] * 2), Labels()]
    assert chosen(ONE, "virus=viral pneumonia,normal", MERGED, exclusive=True) == [
        Labels.only("normal"), Labels.only("virus"), Labels(),
    ]  # fmt: skip
    assert chosen([Labels.only("pneumonia")], "", MERGED, exclusive=True) == [Labels.only("pneumonia")]


def test_boxes_are_called_as_their_finding():
    boxes = (Box("Nodule", 1, 2, 3, 4), Box("Edema", 1, 2, 3, 4))
    (row,) = choose_findings([SourceRow("a", bytes, SEVERAL[0], False, boxes=boxes)], "Lesion=Mass,Lesion=Nodule")
    assert row.boxes == (Box("Lesion", 1, 2, 3, 4),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Masss", "the source has no finding 'Masss'; did you mean Mass?"),
        ("Mass,Effusion=Pleural Effusion", "the source has no finding 'Pleural Effusion'; known: Edema, Mass, Nodule"),
        ("Mass,", "write NAME or NAME=THEIRS, with commas between"),
        ("Mass=", "write NAME or NAME=THEIRS"),
        ("a/b=Mass", "'a/b' cannot be a folder name"),
    ],
)
def test_a_name_of_no_finding_is_one_line(text: str, told: str):
    with pytest.raises(BadInput, match="--findings") as caught:
        chosen(SEVERAL, text)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_names_that_stand_several_times_are_merged():
    assert parse_findings(" Fluid = Effusion, Fluid=Edema ,Mass") == {"Fluid": ("Effusion", "Edema"), "Mass": ("Mass",)}
