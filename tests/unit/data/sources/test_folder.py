"""One folder a finding, with and without split folders."""

import os
import shutil
from pathlib import Path

import pytest

from cxr.data.images import Rejected
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
    with pytest.raises(Rejected, match="no such file"):
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
