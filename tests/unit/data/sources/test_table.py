"""Tables that name files: every format, mapped columns, and one clear line for what is wrong."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydicom.data import get_testdata_file

from cxr.data.images import RejectedImage
from cxr.data.labels import Labels
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
    with pytest.raises(RejectedImage, match="no such file"):
        row.load()


def test_what_is_no_file_is_refused_when_read(tmp_path: Path):
    path = write(tmp_path / "t.csv", "file\nx\npipe.png\n")
    os.mkfifo(tmp_path / "pipe.png")
    for row in rows(path):
        with pytest.raises(RejectedImage, match="not a file"):
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


def test_rows_that_name_a_file_with_other_findings_are_read_as_of_one_picture(tmp_path: Path):
    notes: list[str] = []
    path = write(tmp_path / "t.csv", "file,finding\na.png,mass\na.png,edema\nx/b.png,No Finding\n")
    first, healthy = rows(path, notes=notes.append)
    assert first.labels == Labels(("edema", "mass"), None) and healthy.labels == Labels((), None)
    assert not first.exclusive and not healthy.exclusive
    told = "1 files are named again with another finding (the first: rows 1 and 2, 'a.png': mass and edema)"
    assert any(told in line for line in notes)


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


# --- what people write in cells ---

NOTHING = ["nan", "NaN", "None", "NULL", "NaT", "N/A", "n/a", "NA", "-", "--", "?", ".", "#N/A", "<NA>", " ", '=""']


@pytest.mark.parametrize(
    "column", ["text", "patient_id", "view", "sex", "age", "split", "source", "licence", "finding"]
)
@pytest.mark.parametrize("word", NOTHING)
def test_words_for_nothing_are_gaps_in_every_column_and_are_counted(tmp_path: Path, word: str, column: str):
    notes: list[str] = []
    table = {"file": ["a.png", "x/b.png"], "finding": ["mass", "edema"], column: [word, word]}
    path = write(
        tmp_path / "t.jsonl", [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    )
    first, second = rows(path, notes=notes.append)
    assert getattr(first, column) == getattr(second, column)
    empty = {"source": "table", "licence": "unstated", "finding": "unlabelled"}
    assert getattr(first, column) == empty.get(column)
    assert bool(notes) == (word not in (" ", '=""'))
    if notes and column != "finding":
        assert notes == [f"t.jsonl: read as empty cells: {word!a} in {column} (2)"]


def test_a_row_without_a_file_is_told_whatever_its_word_for_nothing(tmp_path: Path):
    assert "line 3: names no file" in error_of(write(tmp_path / "t.csv", "file\na.png\nnan\n"))


def test_words_that_hold_a_word_for_nothing_stay(tmp_path: Path):
    (row,) = rows(write(tmp_path / "t.csv", "file,text,patient_id\na.png,None seen. NA.,nan-1\n"))
    assert (row.text, row.patient_id) == ("None seen. NA.", "nan-1")


@pytest.mark.parametrize(
    ("cell", "separator"),
    [
        ("Effusion|Atelectasis", ""),
        ("Atelectasis;Effusion", ""),
        ('"Atelectasis, Effusion"', ""),
        ("\"['Atelectasis', 'Effusion']\"", ""),
        ("Atelectasis/Effusion", "/"),
    ],
)
def test_several_findings_in_a_cell_are_the_pictures(tmp_path: Path, cell: str, separator: str):
    notes: list[str] = []
    path = write(tmp_path / "t.csv", f"file,finding\na.png,{cell}\nx/b.png,No Finding\nx/c.png,\n")
    several, healthy, silent = rows(path, separator=separator, notes=notes.append)
    assert several.labels == Labels(("Atelectasis", "Effusion"), None) and not several.exclusive
    assert healthy.labels == Labels((), None) and not silent.labels.known
    assert any(line.startswith("t.csv: 1 of 3 rows name several findings: ") for line in notes)


def test_a_column_of_one_finding_a_picture_stays_exclusive_whatever_its_words(tmp_path: Path):
    found = rows(write(tmp_path / "t.csv", "file,finding\na.png,No Finding\nx/b.png,mass\n"))
    assert [row.labels for row in found] == [Labels.only("No Finding"), Labels.only("mass")]
    assert all(row.exclusive for row in found)


def test_a_cell_that_names_a_finding_beside_none(tmp_path: Path):
    told = error_of(write(tmp_path / "t.csv", "file,finding\na.png,No Finding|mass\n"))
    assert "line 2: finding 'No Finding|mass' names 'No Finding' beside others" in told


MARKS = "file,Edema,Pleural Effusion,No Finding\na.png,1.0,-1.0,\nx/b.png,0,,\nx/c.png,,,1.0\nx/d.png,,nan,\n"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_label_columns_of_marks(tmp_path: Path, suffix: str):
    path = write(tmp_path / "t.csv", MARKS)
    if suffix == ".parquet":
        import pyarrow.csv

        pq.write_table(pyarrow.csv.read_csv(path), tmp_path / "t.parquet")
    found = rows(tmp_path / f"t{suffix}", label_columns="Edema, pleural effusion,No Finding")
    assert [row.labels for row in found] == [
        Labels(("Edema",), (), ("pleural effusion",)),
        Labels((), ("Edema",)),
        Labels((), ("Edema", "pleural effusion")),
        Labels(),
    ]
    assert not any(row.exclusive for row in found)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("Edema,Fracture", "has no column 'fracture'"),
        (",", "holds no"),
        ("finding", "name the columns of findings"),
        ("No Finding", "name the columns of findings"),
        ("a/b", "'a/b' cannot be a folder name"),
    ],
)
def test_label_columns_that_are_none(tmp_path: Path, columns: str, told: str):
    path = write(tmp_path / "t.csv", MARKS if told != "holds no" else "file\n")
    assert told in error_of(path, label_columns=columns)


def test_a_label_column_of_words(tmp_path: Path):
    path = write(tmp_path / "t.csv", "file,Edema\na.png,1\nx/b.png,yes\n")
    told = error_of(path, label_columns="Edema")
    assert "line 3: Edema is 'yes', which is no mark of a finding; 1 is present, 0 absent, -1 uncertain" in told


def test_rows_of_several_readers_are_merged(tmp_path: Path):
    path = write(tmp_path / "t.csv", "file,Edema,Mass\na.png,1,0\na.png,0,0\na.png,0,-1\n")
    (row,) = rows(path, label_columns="Edema,Mass")
    assert row.labels == Labels(("Edema",), (), ("Mass",))


def test_files_that_are_not_there_may_be_left_out(tmp_path: Path):
    notes: list[str] = []
    path = write(tmp_path / "t.csv", "file,finding\na.png,mass\ngone.png,edema\n")
    assert [row.name for row in rows(path, allow_missing=True, notes=notes.append)] == ["a.png"]
    assert notes == ["t.csv: 1 of 2 files are not there and are left out"]


@pytest.mark.parametrize(
    ("name", "kinds"), [("Data_Entry_2017.csv", "nih14:{0}"), ("train.csv", "chexpert:{0} or vindr:{0}")]
)
def test_a_table_of_a_public_set_is_known_by_its_name(tmp_path: Path, name: str, kinds: str):
    path = write(tmp_path / name, "Image Index,Finding Labels\na.png,Mass\n")
    assert error_of(path).endswith(f"; did you mean {kinds.format(tmp_path)}?")


def test_a_list_of_one_finding_is_that_finding(tmp_path: Path):
    path = write(tmp_path / "t.jsonl", [{"file": "a.png", "finding": ["NORMAL"]}, {"file": "x/b.png", "finding": []}])
    assert [row.finding for row in rows(path)] == ["normal", "unlabelled"]


def test_marks_of_one_finding_are_no_findings(tmp_path: Path):
    path = write(tmp_path / "t.csv", "file,Pneumonia\na.png,1.0\nx/b.png,-1.0\nx/c.png,0.0\nx/d.png,\n")
    told = error_of(path, columns="finding=Pneumonia")
    assert "marks of one finding, of which -1 means uncertain: -1 (1), 0 (1), 1 (1), blank (1)" in told
    assert "with --label-columns" in told


def test_uncertain_rows_have_no_finding_and_are_counted(tmp_path: Path):
    notes: list[str] = []
    path = write(tmp_path / "t.csv", "file,finding\na.png,mass\nx/b.png,uncertain\n")
    assert [row.finding for row in rows(path, notes=notes.append)] == ["mass", "unlabelled"]
    assert notes == ["t.csv: 1 of 2 rows are uncertain of their finding and count as without: 'uncertain' (1)"]


def test_numbers_as_findings_are_told(tmp_path: Path):
    notes: list[str] = []
    path = write(tmp_path / "t.csv", "file,finding\na.png,0\nx/b.png,1.0\n")
    assert [row.finding for row in rows(path, notes=notes.append)] == ["0", "1"]
    assert notes[0].startswith(
        "t.csv: findings are numbers, which become the names of the classes: 0 (1), 1 (1); to have"
    )


# --- what spreadsheets write ---


@pytest.mark.parametrize(
    "content",
    [
        "sep=,\r\nfile,finding,x\r\na.png,mass,1\r\n",
        'sep=;\nfile;finding;x\n"a.png";mass;1\n',
        '"sep=,"\nfile,finding,x\na.png,mass,1\n',
        "sep=\t\nfile\tfinding\tx\na.png\tmass\t1\n",
        "file,finding,x\na.png,mass,1\n,,\n,,,,\n\n",
        "file,finding,x\na.png,mass,1,,,\n",
        "\n,,\nfile,finding,x\na.png,mass,1\n",
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_spreadsheets_habits_are_read(tmp_path: Path, content: str, mark: str):
    (row,) = rows(write(tmp_path / "t.csv", mark + content))
    assert (row.name, row.finding) == ("a.png", "mass")


def test_lines_are_counted_as_the_file_has_them_below_a_sep_line(tmp_path: Path):
    assert "line 4: names no file" in error_of(write(tmp_path / "t.csv", "sep=,\nfile,finding\na.png,mass\n,mass\n"))


def test_cells_beyond_the_header_that_say_something_are_refused(tmp_path: Path):
    assert "has 3 cells, the header has 2" in error_of(write(tmp_path / "t.csv", "file,finding\na.png,mass,edema\n"))


def test_numbers_that_a_spreadsheet_shortened_or_quoted(tmp_path: Path):
    notes: list[str] = []
    path = write(tmp_path / "t.csv", 'file,patient_id,age\na.png,1.23E+12,"42,5"\nx/b.png,"=""0012""",007Y\n')
    first, second = rows(path, notes=notes.append)
    assert (first.patient_id, first.age, second.patient_id, second.age) == ("1.23E+12", 42, "0012", 7)
    assert notes[0].startswith("t.csv: 1 patient ids are numbers that a spreadsheet has shortened")


# --- paths that were written elsewhere ---


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def listed(root: Path, written: list[str], notes: list[str] | None = None) -> list[bytes]:
    path = root / "t.jsonl"
    path.write_text("".join(json.dumps({"file": file, "finding": "mass"}) + "\n" for file in written))
    return [row.load() for row in rows(path, notes=(notes if notes is not None else []).append)]


DEEP = ("images_001/images/001.png", "images_002/images/002.png")
WRITTEN = {
    "bare names two folders deeper": ("001.png", "002.png"),
    "part of the path": ("images/001.png", "images/002.png"),
    "Kaggle's": ("/kaggle/input/nih/images_001/images/001.png", "/kaggle/input/nih/images_002/images/002.png"),
    "Windows'": ("images_001\\images\\001.png", "images_002\\images\\002.png"),
    "Windows' with a drive": ("C:\\xrays\\images_001\\images\\001.png", "C:\\xrays\\images_002\\images\\002.png"),
    "a Windows share": ("\\\\pc\\x\\images_001\\images\\001.png", "\\\\pc\\x\\images_002\\images\\002.png"),
    "addresses": ("https://h.org/images_001/images/001.png?v=1", "s3://b/images_002/images/002.png"),
    "file addresses": ("file:///d/images_001/images/001.png", "file:///d/images_002/images/002.png"),
    "another suffix": ("images_001/images/001.dcm", "images_002/images/002.jpg"),
    "no suffix": ("001", "002"),
    "another case": ("Images_001/IMAGES/001.PNG", "Images_002/IMAGES/002.PNG"),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_paths_that_were_written_elsewhere_are_found_and_told(tmp_path: Path, written: tuple[str, str]):
    notes: list[str] = []
    tree(tmp_path, *DEEP, "masks/001.png", "notes/001.txt")
    assert listed(tmp_path, list(written), notes) == [name.encode() for name in DEEP]
    assert len(notes) == 1 and ("001" in notes[0] or "as on another system" in notes[0])


def test_a_file_address_of_a_file_that_is_there(tmp_path: Path):
    assert listed(tree(tmp_path, "a b.png"), [f"file://{tmp_path}/a%20b.png"]) == [b"a b.png"]


def test_a_file_that_is_missing_is_never_another_folders_picture(tmp_path: Path):
    tree(tmp_path, "train/001.png", "test/001.png", "test/002.png")
    path = write(tmp_path / "t.csv", "file\ntrain/001.png\ntrain/002.png\n")
    assert [row.name for row in rows(path)] == ["train/001.png", "train/002.png"]
    with pytest.raises(RejectedImage, match="no such file"):
        rows(path)[1].load()


def test_pictures_of_another_split_are_not_taken(tmp_path: Path):
    tree(tmp_path, "test/001.png", "test/002.png")
    for written in (["train/001.png"], ["/kaggle/train/001.png"], ["d/train/images/001.png"]):
        with pytest.raises(BadInput, match=r"none of its 1 files is below .*; the first, line 1, is '.*001.png'"):
            listed(tmp_path, written)


def test_two_files_that_a_path_may_mean_are_named(tmp_path: Path):
    tree(tmp_path, "a/001.png", "b/001.png")
    with pytest.raises(BadInput, match=r"line 1: '001.png' is not below .*, and may be a/001.png or b/001.png; write"):
        listed(tmp_path, ["001.png"])


def test_the_same_picture_for_two_different_paths_is_refused(tmp_path: Path):
    tree(tmp_path, "pics/001.png")
    path = tmp_path / "t.jsonl"
    lines = [{"file": f"{part}/001.png", "finding": name} for part, name in (("train", "mass"), ("test", "edema"))]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    error_of(path)


def test_addresses_of_files_that_are_not_here(tmp_path: Path):
    with pytest.raises(
        BadInput, match=r"is 's3://b/x/1.png', an address; files are read from a local folder: download"
    ):
        listed(tmp_path, ["s3://b/x/1.png", "s3://b/x/2.png"])


def test_a_table_of_dicom_files(tmp_path: Path):
    tree(tmp_path, "imgs/x")
    for name in ("case-1.dcm", "case-2"):
        shutil.copy(get_testdata_file("MR_small.dcm", download=False), tmp_path / "imgs" / name)
    path = tmp_path / "t.csv"
    path.write_text("patientId,Target\ncase-1,1\ncase-2,0\n")
    for row in rows(path, columns="file=patientId,finding=Target"):
        assert row.load().shape == (64, 64)
