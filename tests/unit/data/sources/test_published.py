"""Public sets in the folder as downloaded: every label, view, sex, age, part and box as the publisher has it."""

from pathlib import Path

import pytest

from cxr.data.sources import SOURCES, SourceOptions, SourceRow
from cxr.data.sources.layouts import CHEXPERT_FINDINGS, LAYOUTS, NIH14_FINDINGS
from cxr.errors import BadInput
from tests import published


def rows(kind: str, place: Path, **options) -> list[SourceRow]:
    return list(SOURCES[kind](str(place), SourceOptions(notes=options.pop("notes", lambda line: None), **options)))


def error_of(kind: str, place: Path, **options) -> str:
    with pytest.raises(BadInput) as caught:
        rows(kind, place, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def fields(row: SourceRow) -> tuple:
    return row.patient_id, row.view, row.sex, row.age, row.split


@pytest.mark.parametrize("kind", LAYOUTS)
def test_every_layout_reads_its_set_and_says_what_is_odd(tmp_path: Path, kind: str):
    published.WRITERS[kind](tmp_path)
    notes: list[str] = []
    found = rows(kind, tmp_path, notes=notes.append)
    assert found and all(kind in ("vindr", "rsna") or row.load() == b"picture" for row in found)
    assert len({row.name for row in found}) == len(found) and str(tmp_path) not in "".join(row.name for row in found)
    assert all(row.mark and row.source == LAYOUTS[kind][-1].title and row.licence for row in found)
    assert notes[: len(LAYOUTS[kind][0].odd)] == [f"{kind}: {line}" for line in LAYOUTS[kind][0].odd]
    assert all(form.citation and form.where.startswith("https://") for form in LAYOUTS[kind])


@pytest.mark.parametrize("old", [False, True], ids=["of 2020", "of 2017"])
def test_nih14(tmp_path: Path, old: bool):
    published.write_nih14(tmp_path, old)
    found = rows("nih14", tmp_path)
    assert [row.labels.present for row in found] == [
        ("Cardiomegaly",), ("Cardiomegaly", "Emphysema"), (), ("Hernia", "Infiltration", "Pleural_Thickening"),
        ("Pneumonia",),
    ]  # fmt: skip
    assert all({*row.labels.present, *row.labels.absent} == set(NIH14_FINDINGS) for row in found)
    assert not any(row.exclusive or row.labels.uncertain for row in found)
    assert fields(found[0]) == ("1", "PA", "M", 58, "train") and fields(found[4]) == ("4", "PA", "M", None, "test")
    (box,) = found[3].boxes
    assert (box.finding, box.x, box.y, box.width, box.height) == ("Infiltration", 10, 20, 30, 40)


@pytest.mark.parametrize("top", ["", "CheXpert-v1.0-small"])
def test_chexpert(tmp_path: Path, top: str):
    published.write_chexpert(tmp_path)
    healthy, doubtful, lateral, blank, _, valid = rows("chexpert", tmp_path / top)
    assert healthy.labels.present == ("Support Devices",)
    assert set(healthy.labels.absent) == set(CHEXPERT_FINDINGS) - {"Support Devices"}
    assert doubtful.labels.uncertain == ("Edema", "Pleural Effusion", "Pneumonia")
    assert fields(lateral) == ("patient00002", "lateral", "F", 83, "train")
    assert not blank.labels.known and fields(blank) == ("patient00003", "PA", None, None, "train")
    assert len(valid.labels.absent) == 10 and fields(valid) == ("patient64541", "AP", "M", 73, "validation")


@pytest.mark.parametrize("program", ["chexpert", "negbio"])
def test_mimic(tmp_path: Path, program: str):
    published.write_mimic(tmp_path, program)
    first, lateral, doubtful, other, silent = rows("mimic-cxr-jpg", tmp_path)
    assert first.name == "files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg"
    assert first.labels == lateral.labels and len(first.labels.absent) == 12
    assert doubtful.labels.present == ("Consolidation",) and doubtful.labels.uncertain == ("Edema",)
    assert [row.view for row in (first, lateral, doubtful, other)] == ["PA", "lateral", "AP", None]
    assert [row.split for row in (first, doubtful, other)] == ["train", "test", "validation"]
    assert not silent.labels.known and silent.patient_id == "10000980"


def test_unpacked_tables_of_mimic(tmp_path: Path):
    published.write_mimic(tmp_path)
    name = "mimic-cxr-2.0.0-metadata.csv"
    import gzip

    (tmp_path / name).write_bytes(gzip.decompress((tmp_path / f"{name}.gz").read_bytes()))
    (tmp_path / f"{name}.gz").unlink()
    assert len(rows("mimic-cxr-jpg", tmp_path)) == 5


def test_padchest(tmp_path: Path):
    published.write_padchest(tmp_path)
    healthy, several, twice, *silent = rows("padchest", tmp_path)
    assert healthy.labels.known and not healthy.labels.present
    assert several.labels.present == ("COPD signs", "pleural effusion") and several.labels.absent is None
    assert twice.labels.present == ("cardiomegaly", "nodule") and fields(twice)[1:] == ("AP supine", None, 65, None)
    assert not any(row.labels.known for row in silent) and silent[1].view == "costal"


def test_vindr_of_both_places(tmp_path: Path):
    published.write_vindr(tmp_path / "kaggle")
    published.write_vindr_physionet(tmp_path / "physionet")
    kaggle = {row.name: row for row in rows("vindr", tmp_path / "kaggle")}
    physionet = {row.name: row for row in rows("vindr", tmp_path / "physionet")}
    assert {name: row.labels.present for name, row in kaggle.items()} == {
        "train/50a418190bc3fb1e.dicom": (),
        "train/9a5094b2563a1ef3.dicom": ("Cardiomegaly", "Nodule or mass"),
        "train/051132a778e61a86.dicom": ("Pleural effusion",),
    }
    for name, row in kaggle.items():
        other = physionet.pop(name)
        assert (row.labels.present, row.boxes) == (other.labels.present, other.boxes)
        assert set(row.labels.absent) <= set(other.labels.absent) and other.split == "train"
    ((_, test),) = physionet.items()
    assert (test.split, test.labels.present) == ("test", ("Edema", "Other diseases")) and test.view == "PA"
    boxes = kaggle["train/9a5094b2563a1ef3.dicom"].boxes
    assert [(box.finding, box.reader, box.width) for box in boxes] == [
        ("Cardiomegaly", "R10", 962), ("Nodule or mass", "R9", 60), ("Cardiomegaly", "R9", 960),
    ]  # fmt: skip


def test_boxes_of_other_pictures_than_those_are_left_out_and_told(tmp_path: Path):
    published.write_vindr(tmp_path, suffix=".png")
    notes: list[str] = []
    assert not any(row.boxes for row in rows("vindr", tmp_path, notes=notes.append))
    assert any(line.startswith("4 boxes are left out: they count the pixels of the DICOM files") for line in notes)


def test_rsna(tmp_path: Path):
    published.write_rsna(tmp_path)
    notes: list[str] = []
    found = rows("rsna", tmp_path, notes=notes.append)
    assert [row.labels.present for row in found] == [("No Lung Opacity - Not Normal",), ("Normal",), ("Lung Opacity",)]
    assert all(row.exclusive for row in found) and [len(row.boxes) for row in found] == [0, 0, 2]
    assert "1 pictures are in no table and are left out" in notes, "the challenge's test pictures"


def test_view_sex_and_age_of_rsna_stand_in_the_headers(tmp_path: Path):
    from pydicom.data import get_testdata_file
    from pydicom.filereader import dcmread

    published.write_rsna(tmp_path)
    picture = dcmread(get_testdata_file("CT_small.dcm"))
    picture.PatientSex, picture.PatientAge, picture.ViewPosition = "F", "051Y", "AP"
    picture.save_as(tmp_path / "stage_2_train_images" / "00313ee0-9eaa.dcm")
    assert [(row.view, row.sex, row.age) for row in rows("rsna", tmp_path)][1] == ("AP", "F", 51)


def test_brax(tmp_path: Path):
    published.write_brax(tmp_path)
    healthy, doubtful, several = rows("brax", tmp_path)
    assert len(healthy.labels.absent) == 12 and fields(healthy) == ("id_0001", "PA", "F", 55, None)
    assert doubtful.labels.uncertain == ("Edema",) and fields(doubtful) == ("id_0002", "lateral", "M", 85, None)
    assert several.labels.present == ("Cardiomegaly", "Pneumonia") and several.view is None


@pytest.mark.parametrize("top", ["chest_xray", "archive/chest_xray"])
def test_kermany_without_the_copies(tmp_path: Path, top: str):
    published.write_kermany(tmp_path, top)
    notes: list[str] = []
    found = {row.name.removeprefix(f"{top}/"): row for row in rows("kermany", tmp_path, notes=notes.append)}
    assert len(found) == 8 and "8 files are copies in a folder further below and are left out" in notes
    virus = found["train/PNEUMONIA/person1000_virus_1681.jpeg"]
    assert (virus.finding, virus.split, virus.patient_id) == ("viral pneumonia", "train", "person1000")
    assert found["val/PNEUMONIA/person1946_bacteria_4874.jpeg"].finding == "bacterial pneumonia"
    assert found["test/NORMAL/IM-0001-0001.jpeg"].finding == "normal" and virus.exclusive


def test_covid_radiography_without_its_masks(tmp_path: Path):
    published.write_covid_radiography(tmp_path)
    found = rows("covid-radiography", tmp_path)
    assert {row.finding for row in found} == {"COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"}
    assert len(found) == 8 and all("/images/" in row.name for row in found)


# --- what is wrong with a folder is one line ---


def test_pictures_that_are_not_there(tmp_path: Path):
    published.write_nih14(tmp_path)
    for number in (1, 2):
        for path in (tmp_path / f"images_00{number}").rglob("*.png"):
            path.unlink()
    told = error_of("nih14", tmp_path)
    assert "4 of 5 pictures that the tables name are not there (the first: '00000001_000')" in told
    assert "https://nihcc" in told and told.endswith("or leave them out with --allow-missing")
    notes: list[str] = []
    (row,) = rows("nih14", tmp_path, allow_missing=True, notes=notes.append)
    assert row.split == "test" and "4 of 5 pictures that the tables name are not there and are left out" in notes
    (tmp_path / row.name).unlink()
    assert "5 of 5 pictures" in error_of("nih14", tmp_path, allow_missing=True)


@pytest.mark.parametrize(
    ("kind", "file", "told"),
    [
        ("nih14", "Data_Entry_2017_v2020.csv", "holds no Data_Entry_2017_v2020.csv or Data_Entry_2017.csv, which NIH"),
        ("mimic-cxr-jpg", "mimic-cxr-2.0.0-chexpert.csv.gz", "holds no mimic-cxr-2.0.0-chexpert.csv.gz or mimic-cxr-2"),
        ("vindr", "train.csv", "holds no image_labels_train.csv"),
    ],
)
def test_pictures_without_labels(tmp_path: Path, kind: str, file: str, told: str):
    published.WRITERS[kind](tmp_path)
    (tmp_path / file).unlink()
    assert told in error_of(kind, tmp_path)


def test_pictures_that_no_table_names_are_told(tmp_path: Path):
    published.write_brax(tmp_path)
    published.write_pictures(tmp_path, ["images/id_0004/other.png"])
    notes: list[str] = []
    assert len(rows("brax", tmp_path, notes=notes.append)) == 3
    assert "1 pictures are in no table and are left out" in notes


def replace_in(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def test_a_list_that_names_unknown_pictures_or_those_of_another_list(tmp_path: Path):
    published.write_nih14(tmp_path)
    (tmp_path / "test_list.txt").write_text("00000004_000.png\n00009999_000.png\n")
    told = error_of("nih14", tmp_path)
    assert "test_list.txt: names 1 of 2 pictures that no table names (the first: '00009999_000')" in told
    (tmp_path / "test_list.txt").write_text("00000001_000.png\n")
    assert "test_list.txt: names '00000001_000', which another list has too" in error_of("nih14", tmp_path)


@pytest.mark.parametrize(
    ("kind", "file", "old", "new", "told"),
    [
        ("brax", "master_spreadsheet_update.csv", "-1.0", "maybe", "line 3: Edema is 'maybe', which is no mark"),
        ("nih14", "Data_Entry_2017_v2020.csv", "Cardiomegaly|Emph", "Masses|Emph", "line 3: Finding Labels names 'M"),
        ("nih14", "Data_Entry_2017_v2020.csv", "Finding Labels", "Labels", "has no column 'Finding Labels', which NIH"),
        ("nih14", "Data_Entry_2017_v2020.csv", "00000001_001", "00000001_000", "line 3: names the picture '0000"),
        ("nih14", "BBox_List_2017.csv", "547.5", "many", "line 2: '225.0, many, 86.5, 79.0' is no box"),
        ("rsna", "stage_2_detailed_class_info.csv", "ee0-9eaa,Normal", "ee0-9eaa,Normal\n00313ee0-9eaa,Lung Opacity",
         "00313ee0-9eaa is named with Lung Opacity and Normal, which exclude each other"),
        ("brax", "master_spreadsheet_update.csv", "images/id_0001", "../images/id_0001", "1 of 3 pictures"),
        ("nih14", "Data_Entry_2017_v2020.csv", "00000001_000.png", "", "line 2: has no image_index"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_table(tmp_path: Path, kind: str, file: str, old: str, new: str, told: str):
    published.WRITERS[kind](tmp_path)
    replace_in(tmp_path / file, old, new)
    assert told in error_of(kind, tmp_path)


def test_a_cell_that_is_no_list(tmp_path: Path):
    published.write_padchest(tmp_path)
    import gzip

    packed = tmp_path / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    text = gzip.decompress(packed.read_bytes()).decode().replace("['unchanged']", "unchanged")
    packed.with_suffix("").write_text(text)
    packed.unlink()
    assert "Labels is 'unchanged', which is no list such as ['mass', 'nodule']" in error_of("padchest", tmp_path)


def test_a_packed_table_that_is_cut_off(tmp_path: Path):
    published.write_mimic(tmp_path)
    path = tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert "is no whole gzip file; get it again" in error_of("mimic-cxr-jpg", tmp_path)


def test_a_picture_that_is_there_twice(tmp_path: Path):
    published.write_nih14(tmp_path)
    published.write_pictures(tmp_path, ["copy/00000002_000.jpg"])
    told = error_of("nih14", tmp_path)
    assert "line 4: names '00000002_000.png', which is there twice, copy/00000002_000.jpg and images_002" in told


def test_another_folder_than_that_of_the_set(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"x")
    assert "holds no X-rays as Kermany chest X-rays has them" in error_of("kermany", tmp_path)
    assert "no such folder" in error_of("nih14", tmp_path / "nowhere")


def test_links_lead_nowhere_else(tmp_path: Path):
    published.write_nih14(tmp_path / "set")
    (tmp_path / "secret.png").write_bytes(b"secret")
    path = tmp_path / "set" / "images_001" / "images" / "00000001_000.png"
    path.unlink()
    path.symlink_to(tmp_path / "secret.png")
    assert "lies outside the folder of the X-rays" in error_of("nih14", tmp_path / "set")
