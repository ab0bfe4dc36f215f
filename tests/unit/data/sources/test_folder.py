"""One folder a finding, with and without split folders."""

import os
import shutil
from pathlib import Path

import pytest

from cxr.data.images import RejectedImage
from cxr.data.sources.folder import folder_rows
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.errors import BadInput


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def rows(root: Path) -> list[SourceRow]:
    return list(folder_rows(str(root), SourceOptions()))


def error_of(root: Path) -> str:
    with pytest.raises(BadInput) as caught:
        rows(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_class_folders(tmp_path: Path):
    fill(
        tmp_path,
        "NORMAL/IM-0115-0001.jpeg",
        "NORMAL/.DS_Store",
        "effusion/deep/b.png",
        "effusion/Thumbs.db",
        "notes.md",
    )
    found = rows(tmp_path)
    assert [(row.name, row.finding, row.patient_id, row.split) for row in found] == [
        ("NORMAL/IM-0115-0001.jpeg", "normal", "IM-0115", None),
        ("effusion/deep/b.png", "effusion", None, None),
    ]
    assert [row.load() for row in found] == [b"NORMAL/IM-0115-0001.jpeg", b"effusion/deep/b.png"]
    assert str(tmp_path) not in found[0].source


def test_split_folders(tmp_path: Path):
    fill(tmp_path, *(f"{split}/{name}/a.png" for split in ("train", "Valid", "test") for name in ("normal", "mass")))
    assert {(row.split, row.finding) for row in rows(tmp_path)} == {
        (split, name) for split in ("train", "validation", "test") for name in ("normal", "mass")
    }


def test_empty_class_folder(tmp_path: Path):
    fill(tmp_path, "normal/a.png", "mass/b.png")
    (tmp_path / "effusion").mkdir()
    assert error_of(tmp_path).startswith(f"{tmp_path / 'effusion'}: is empty")


@pytest.mark.parametrize("name", ["normal/a.png", "train/normal/a.png"])
def test_one_class_only(tmp_path: Path, name: str):
    assert "holds one class only, 'normal'" in error_of(fill(tmp_path, name))


def test_no_classes_at_all(tmp_path: Path):
    assert "holds no folders of X-rays" in error_of(fill(tmp_path, "a.png"))


def test_splits_beside_classes(tmp_path: Path):
    assert "holds 'train' beside 'normal'" in error_of(fill(tmp_path, "train/mass/a.png", "normal/a.png"))


def test_folder_that_is_no_finding(tmp_path: Path):
    assert "cannot be a folder name" in error_of(fill(tmp_path, "normal/a.png", "a,b/b.png"))


@pytest.mark.parametrize("linked", ["file", "class"])
def test_links_that_lead_outside(tmp_path: Path, linked: str):
    root = fill(tmp_path / "in", "normal/a.png", "mass/b.png")
    outside = fill(tmp_path, "out/secret.png") / "out"
    if linked == "file":
        (root / "normal" / "c.png").symlink_to(outside / "secret.png")
    else:
        (root / "other").symlink_to(outside)
    assert "lies outside the folder of the X-rays" in error_of(root)


def test_links_inside_are_followed(tmp_path: Path):
    fill(tmp_path, "normal/a.png", "mass/b.png")
    (tmp_path / "mass" / "c.png").symlink_to(tmp_path / "mass" / "b.png")
    assert [row.load() for row in rows(tmp_path)][:2] == [b"mass/b.png"] * 2


@pytest.mark.parametrize(
    ("place", "told"), [("nowhere", "no such folder"), ("a.png", "not a folder"), ("\0", "no such folder")]
)
def test_no_such_folder(tmp_path: Path, place: str, told: str):
    fill(tmp_path, "a.png")
    assert told in error_of(tmp_path / place)


def test_a_file_that_goes_away_is_refused(tmp_path: Path):
    found = rows(fill(tmp_path, "normal/a.png", "mass/b.png"))
    (tmp_path / "mass/b.png").unlink()
    with pytest.raises(RejectedImage, match="no such file"):
        found[0].load()


def test_control_characters_in_names(tmp_path: Path):
    names = [row.name for row in rows(fill(tmp_path, "normal/a\x1b\n.png", "mass/b.png"))]
    assert names == ["mass/b.png", "normal/a\\x1b\\n.png"]


def test_a_files_mark_changes_with_it_and_not_with_the_place(tmp_path: Path):
    before = rows(fill(tmp_path / "a", "normal/a.png", "mass/b.png"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert [row.mark for row in rows(tmp_path / "b")] == [row.mark for row in before]
    (tmp_path / "b/mass/b.png").write_bytes(b"mass/c.png")  # as long as before
    os.utime(tmp_path / "b/mass/b.png", (1, 1))
    after = rows(tmp_path / "b")
    assert after[0].mark != before[0].mark and after[1].mark == before[1].mark


@pytest.mark.parametrize("closed", ["mass/deep", "mass", "."])
def test_a_folder_that_cannot_be_read_loses_no_pictures_in_silence(tmp_path: Path, closed_folder, closed: str):
    fill(tmp_path, "normal/a.png", "mass/deep/b.png", "mass/c.png")
    closed_folder(tmp_path / closed)
    assert (
        error_of(tmp_path)
        == f"{tmp_path / closed}: cannot be read: Permission denied; mend its rights, or move it away"
    )


def told(root: Path) -> tuple[list[SourceRow], list[str]]:
    notes: list[str] = []
    return list(folder_rows(str(root), SourceOptions(notes=notes.append))), notes


@pytest.mark.parametrize(
    "aside", ["masks", "Lung_Masks", "segmentation", "annotations", "thumbnails", "gradcam heatmaps"]
)
def test_folders_of_masks_and_the_like_are_left_out_by_name_and_counted(tmp_path: Path, aside: str):
    fill(
        tmp_path, "mass/images/a.png", f"mass/{aside}/a.png", "edema/b.png", f"{aside}/c.png", "__MACOSX/edema/._b.png"
    )
    found, notes = told(tmp_path)
    assert [row.name for row in found] == ["edema/b.png", "mass/images/a.png"]
    assert (
        len(notes) == 1
        and f"left out 2 files in folders whose names say that they hold no X-rays: '{aside}' (2)" in notes[0]
    )


def test_pictures_named_as_the_mask_of_another_are_left_out(tmp_path: Path):
    fill(tmp_path, "mass/a.png", "mass/a_mask.png", "mass/thumb-a.jpg", "edema/face_mask.png")
    found, notes = told(tmp_path)
    assert [row.name for row in found] == ["edema/face_mask.png", "mass/a.png"]
    assert notes == ["left out 2 pictures named as the mask, heat map or thumbnail of another one"]


def test_what_is_no_picture_is_passed_over_and_counted(tmp_path: Path):
    fill(tmp_path, "mass/a.png", "mass/a.json", "mass/readme", "edema/b.png", "edema/b.xml", "edema/c.xml", "loose.png")
    (tmp_path / "mass" / "named without suffix").write_bytes(b"\xff\xd8\xff\xe0 a JPEG")
    found, notes = told(tmp_path)
    assert [row.name for row in found] == ["edema/b.png", "mass/a.png", "mass/named without suffix"]
    assert notes == [
        "left out 1 pictures beside the findings' folders: nothing says what they show",
        "passed over 4 files that are no pictures (2 .xml, 1 .json, 1 others)",
    ]


def test_texts_beside_pictures_are_read(tmp_path: Path):
    fill(tmp_path, "mass/a.png", "mass/b.png", "edema/c.png", "edema/d.png", "edema/e.png")
    for name, text in {
        "mass/a.txt": "A mass XXXX.\n",
        "mass/b.caption": "b",
        "edema/d.txt": "0 0.5 0.5 0.1 0.1",
        "edema/e.txt": "nan",
    }.items():
        (tmp_path / name).write_text(text)
    found, notes = told(tmp_path)
    assert {row.name: row.text for row in found} == {
        "mass/a.png": "A mass.", "mass/b.png": "b", "edema/c.png": None, "edema/d.png": None, "edema/e.png": None,
    }  # fmt: skip
    assert notes == [
        "read as empty cells: 'nan' in text (1)",
        "2 text files beside pictures hold no caption (the first: 'd.txt')",
    ]


@pytest.mark.parametrize("place", ["", "train", "train/mass"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_tables_of_captions_are_read(tmp_path: Path, place: str, kind: str):
    fill(tmp_path, "train/mass/a.png", "train/edema/b.png")
    name = os.path.relpath(tmp_path / "train/mass/a.png", tmp_path / place)
    table = {"csv": f"file_name,text,sex\n{name},A mass.,f\ngone.png,x,\n"}
    table["jsonl"] = f'{{"file_name": "{name}", "text": "A mass.", "sex": "f"}}\n{{"file_name": "gone.png"}}\n'
    (tmp_path / place / f"metadata.{kind}").write_text(table[kind])
    found, notes = told(tmp_path)
    assert [(row.text, row.sex) for row in found] == [(None, None), ("A mass.", "F")]
    assert notes == [f"metadata.{kind}: 1 of its 2 files are not there"]


def test_a_table_that_is_none_of_captions_is_told(tmp_path: Path):
    fill(tmp_path, "mass/a.png", "edema/b.png")
    (tmp_path / "metadata.csv").write_text("id,x\n1,2\n")
    assert told(tmp_path)[1][0].startswith("metadata.csv: not read as a table of captions: has no column 'file_name'")


def test_dicom_files_and_wrong_levels_name_what_was_meant(tmp_path: Path):
    fill(tmp_path / "d", "mass/a.dcm", "edema/b.dcm")
    assert f"holds 1 DICOM files; give dicom:{tmp_path / 'd'}, which reads the same folders" in error_of(tmp_path / "d")
    fill(tmp_path / "w", "images/mass/a.png", "images/edema/b.png", "masks/mass/a.png")
    assert f"did you mean folder:{tmp_path / 'w'}/images, with 'edema' and 'mass'?" in error_of(tmp_path / "w")
    fill(tmp_path / "h", "train/a.png")
    (tmp_path / "h/train/metadata.csv").write_text("file_name,label\na.png,mass\n")
    assert f"did you mean table:{tmp_path / 'h'}/train/metadata.csv --columns file=file_name" in error_of(
        tmp_path / "h"
    )
