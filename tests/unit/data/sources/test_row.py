"""KIND:PLACE, and what all sources share."""

import pytest

from cxr.data.sources import parse_source
from cxr.data.sources.vocabulary import (
    escape_unprintable,
    parse_age,
    parse_finding,
    parse_patient,
    parse_sex,
    parse_split,
)
from cxr.errors import BadInput


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("folder:/x:y", ("folder", "/x:y")),
        ("hub:", ("hub", "hf-vision/chest-xray-pneumonia")),
        ("hub", ("hub", "hf-vision/chest-xray-pneumonia")),
        ("phantom:", ("phantom", "200")),
        ("openi:https://example.org/a", ("openi", "https://example.org/a")),
    ],
)
def test_kind_and_place(text: str, parsed: tuple[str, str]):
    assert parse_source(text) == parsed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("foldr:/x", "did you mean folder?"),
        ("", "known: hub, openi, folder"),
        ("/data/xrays", "no kind is called '/data/xrays'"),
        ("folder:", "names no place; write folder: and a folder with one folder a finding"),
        ("table", "names no place; write table: and a .csv"),
        ("dicom:  ", "names no place"),
    ],
)
def test_unknown_kind_and_missing_place(text: str, told: str):
    with pytest.raises(BadInput) as caught:
        parse_source(text)
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1_virus_6.jpeg", "person1"),
        ("person1_bacteria_2.jpeg", "person1"),
        ("train/PNEUMONIA/person1000_bacteria_2931.jpeg", "person1000"),
        ("NORMAL2-IM-0123-0001.jpeg", "IM-0123"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("NORMAL2-IM-0529-0001-0002.jpeg", "IM-0529"),
        ("00001281_000.png", "00001281"),
        ("00001281.png", None),
        ("scan.png", None),
        ("", None),
    ],
)
def test_patients_by_file_name(name: str, patient: str | None):
    assert parse_patient(name) == patient


def test_names_are_safe_to_print_and_stay_different():
    names = ["a\nb", "a\\nb", "a\x1b[31m", "a\udc80", "a b", "ü"]
    shown = [escape_unprintable(name) for name in names]
    assert all(name.isprintable() for name in shown) and len(set(shown)) == len(names)
    assert shown[-2:] == ["a b", "ü"]


def test_findings_of_ours_in_any_case_are_ours():
    labels = ("NORMAL", "Pneumonia", "cardiac_findings", "COVID", "")
    assert [parse_finding(label) for label in labels] == [
        "normal",
        "pneumonia",
        "Cardiac_Findings",
        "COVID",
        "unlabelled",
    ]


def test_publishers_words():
    assert [parse_split(word) for word in ("Train", "val", "valid", "test", "")] == [
        "train", "validation", "validation", "test", None,
    ]  # fmt: skip
    with pytest.raises(BadInput, match="split is 'holdout'"):
        parse_split("holdout")
    assert [parse_sex(word) for word in ("F", "male", "O", "")] == ["F", "M", None, None]
    ages = {"045Y": 45, "018M": 1, "006M": 0, "003W": 0, "42": 42, "42.0": 42, "412": None, "": None, "old": None}
    assert {text: parse_age(text) for text in ages} == ages


@pytest.mark.parametrize(
    ("file", "given", "told"),
    [
        ("mass/a.png", "", "folder"),
        ("mass/a.dcm", "", "dicom"),
        ("Data_Entry_2017.csv", "", "nih14"),
        ("labels.csv", "labels.csv", "table"),
        ("pneumoniamnist.npz", "pneumoniamnist.npz", "npz"),
        ("train-images-idx3-ubyte.gz", "", "idx"),
    ],
)
def test_a_place_that_is_there_without_its_kind(tmp_path, file: str, given: str, told: str):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    place = str(tmp_path / given) if given else str(tmp_path)
    with pytest.raises(BadInput) as caught:
        parse_source(place)
    assert str(caught.value) == f"--source {place!r}: did you mean {told}:{place}?"
