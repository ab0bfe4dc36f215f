"""Tables that name files: every format, mapped columns, and one clear line for what is wrong."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.data.images import Rejected
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.data.sources.table import parse_columns, table_rows
from cxr.errors import BadInput

ROWS = [
    {"file": "a.png", "finding": "NORMAL", "text": "Clear XXXX lungs.", "patient_id": 7, "age": 42.0, "sex": "female"},
    {"file": "x/b.png", "finding": "mass", "text": None, "patient_id": 8, "age": None, "sex": None},
]


def write(path: Path, content: str | list[dict]) -> Path:
    (path.parent / "x").mkdir(exist_ok=True)
    for name in ("a.png", "x/b.png"):
        (path.parent / name).write_bytes(name.encode())
    if isinstance(content, str):
        path.write_text(content)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(content), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        lines = [list(content[0]), *(["" if v is None else str(v) for v in row.values()] for row in content)]
        path.write_text("".join(("\t" if path.suffix == ".tsv" else ",").join(line) + "\n" for line in lines))
    return path


def rows(path: Path, **options) -> list[SourceRow]:
    return list(table_rows(str(path), SourceOptions(notes=options.pop("notes", lambda line: None), **options)))


def error_of(path: Path, **options) -> str:
    with pytest.raises(BadInput) as caught:
        rows(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_reads_alike(tmp_path: Path, suffix: str):
    first, second = rows(write(tmp_path / f"t{suffix}", ROWS))
    told = (first.name, first.finding, first.text, first.patient_id, first.age, first.sex)
    assert told == ("a.png", "normal", "Clear lungs.", "7", 42, "F")
    assert (second.name, second.finding, second.text, second.age, second.sex) == ("x/b.png", "mass", None, None, None)
    assert (first.load(), second.load()) == (b"a.png", b"x/b.png")


def test_the_publishers_words(tmp_path: Path):
    path = write(tmp_path / "t.csv", "File,Patient,View,split,source,license\na.png,p1,AP Supine,val,NIH,CC BY 4.0\n")
    (row,) = rows(path)
    assert (row.patient_id, row.view, row.split, row.source) == ("p1", "AP Supine", "validation", "NIH")
    assert (row.licence, row.finding) == ("CC BY 4.0", "unlabelled")


def test_label_is_the_class_unless_mapped(tmp_path: Path):
    path = write(tmp_path / "t.csv", "file,label,finding\na.png,pneumonia,Edema\n")
    assert [row.finding for row in rows(path)] == ["pneumonia"]
    assert [row.finding for row in rows(path, columns="finding=finding")] == ["Edema"]


def test_mapped_columns(tmp_path: Path):
    path = write(tmp_path / "t.csv", "Image Path,file,Diagnosis\na.png,other.png,mass\n")
    (row,) = rows(path, columns="file=Image Path,finding=diagnosis")
    assert (row.name, row.finding) == ("a.png", "mass")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("fle=path", "'fle' is no column; did you mean file?"),
        ("file", "write ours=theirs"),
        ("file=a,file=b", "names a column twice"),
        ("file=a,text=a", "names a column twice"),
    ],
)
def test_wrong_mappings(columns: str, told: str):
    with pytest.raises(BadInput, match="--columns") as caught:
        parse_columns(columns)
    assert told in str(caught.value)


def test_mapped_column_that_is_not_there(tmp_path: Path):
    path = write(tmp_path / "t.csv", "file,label\na.png,mass\n")
    assert "has no column 'report'; columns there: 'file', 'label'" in error_of(path, columns="text=report")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_no_file_column(tmp_path: Path, suffix: str):
    told = error_of(write(tmp_path / f"t{suffix}", [{"path": "a.png", "label": "mass"}]))
    assert "has no column 'file'; columns there: 'path', 'label'" in told and "--columns file=" in told


@pytest.mark.parametrize("file", ["../out.png", "x/../../out.png", "/etc/passwd", "link.png", "folder/out.png"])
def test_files_outside(tmp_path: Path, file: str):
    root = tmp_path / "in"
    root.mkdir()
    (tmp_path / "out.png").write_bytes(b"secret")
    path = write(root / "t.csv", f"file\na.png\n{file}\n")
    (root / "link.png").symlink_to(tmp_path / "out.png")
    (root / "folder").symlink_to(tmp_path)
    told = error_of(path)
    assert told.startswith(f"{path}: line 3: {file!r}: lies outside the folder")


def test_absolute_files_inside_and_another_root(tmp_path: Path):
    inside = write(tmp_path / "t.csv", f"file\n{tmp_path / 'a.png'}\n")
    assert [row.name for row in rows(inside)] == ["a.png"]
    elsewhere = tmp_path / "tables" / "t.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_text("file\na.png\n")
    assert [row.load() for row in rows(elsewhere, root=tmp_path)] == [b"a.png"]


def test_missing_files_are_refused_when_read(tmp_path: Path):
    there, row = rows(write(tmp_path / "t.csv", "file\na.png\ngone.png\n"))
    assert there.mark and not row.mark
    with pytest.raises(Rejected, match="no such file"):
        row.load()


def test_what_is_no_file_is_refused_when_read(tmp_path: Path):
    path = write(tmp_path / "t.csv", "file\nx\npipe.png\n")
    os.mkfifo(tmp_path / "pipe.png")
    for row in rows(path):
        with pytest.raises(Rejected, match="not a file"):
            row.load()


@pytest.mark.parametrize("again", ["a.png", "./a.png", "x/../a.png"])
def test_rows_that_say_the_same_of_a_file_are_one(tmp_path: Path, again: str):
    notes: list[str] = []
    path = write(tmp_path / "t.csv", f"file,finding,x\na.png,mass,1\nx/b.png,mass,2\n{again},mass,3\n{again},mass,4\n")
    assert [row.name for row in rows(path, notes=notes.append)] == ["a.png", "x/b.png"]
    assert "t.csv: 2 rows say the same of a file as an earlier row and are read as one with it" in notes


def test_rows_that_say_different_things_of_a_file_are_refused(tmp_path: Path):
    path = write(tmp_path / "t.csv", "file,finding,view\na.png,mass,PA\nx/b.png,mass,PA\n./a.png,mass,AP\n")
    assert "rows 1 and 3 name the same file, 'a.png', and differ in view; keep one" in error_of(path)
    path = write(tmp_path / "t.csv", "file,finding\na.png,mass\na.png,edema\nx/b.png,mass\nx/b.png,edema\n")
    told = error_of(path)
    assert "2 rows name a file again with another finding (the first: rows 1 and 2, 'a.png': mass and edema)" in told
    assert "several are not yet" in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("file\n", "holds no rows"),
        ("", "holds no rows"),
        ("file,label\n,mass\n", "line 2: names no file"),
        ("file,label\na.png,x/y\n", "line 2: finding 'x/y' cannot be a folder name"),
        ("file,split\na.png,holdout\n", "line 2: split is 'holdout'"),
        ("file,view\na.png,PA\x1b\n", "line 2: view holds the control character U+001B"),
        (f"file,view\na.png,{'P' * 300}\n", "view is 300 characters long"),
        ("file;label\na.png;mass\n", "separated by semicolons"),
        ("file,label,label\na.png,a,b\n", "column 'label' is there twice"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, content: str, told: str):
    assert told in error_of(write(tmp_path / "t.csv", content))


@pytest.mark.parametrize(
    ("name", "told"), [("t.xlsx", "X-rays are read from .csv"), ("no.csv", "cannot read the X-rays")]
)
def test_no_such_table(tmp_path: Path, name: str, told: str):
    (tmp_path / "t.xlsx").write_bytes(b"PK\3\4")
    assert told in error_of(tmp_path / name)


def test_everything_is_checked_before_the_first_row(tmp_path: Path):
    path = write(tmp_path / "t.csv", "file\na.png\n../out.png\n")
    with pytest.raises(BadInput):
        next(table_rows(str(path), SourceOptions()))


def test_ignored_columns_are_told_once(tmp_path: Path):
    notes: list[str] = []
    rows(write(tmp_path / "t.csv", "file,origin\na.png,NIH\n"), notes=notes.append)
    assert notes == ["t.csv: ignored columns 'origin'"]
