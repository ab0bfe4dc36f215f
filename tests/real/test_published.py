"""Public sets read as published: every label equals that of torchxrayvision, and the real NIH pictures through nih14:.

Where the two differ by convention, the test says how. torchxrayvision comes with the true tables of several sets
(without pictures), whose labels are compared cell by cell too.
"""

import csv
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from cxr.data.labels import LISTS, LabelPolicy, Labels, label_matrix, merge_findings
from cxr.data.sources import SOURCES, SourceOptions, SourceRow
from cxr.data.sources.label_cells import LabelCells, LabelReader
from cxr.data.sources.layouts import CHEXPERT, CHEXPERT_FINDINGS, NIH14, NIH14_FINDINGS, PADCHEST, VINDR
from cxr.tables import Schema, fold_column_name, read_rows
from tests import published

DATA = Path(__file__).parents[2].parent / "shared" / "data"
CHEXPERT_NAMES = {"Effusion": "Pleural Effusion"}  # torchxrayvision's name -> ours
VINDR_NAMES = {
    "Effusion": "Pleural effusion", "Pleural_Thickening": "Pleural thickening", "Nodule/Mass": "Nodule or mass",
    "Other Lesion": "Other lesion", "Pulmonary Fibrosis": "Pulmonary fibrosis",
    "Aortic enlargement": "Aortic enlargement",
}  # fmt: skip
PADCHEST_SYNONYMS = {  # words inside labels, beside the finding's own
    "Infiltration": ["infiltrates", "interstitial pattern", "ground glass pattern", "reticular interstitial pattern",
                     "reticulonodular interstitial pattern", "alveolar pattern", "consolidation", "air bronchogram"],
    "Pleural_Thickening": ["pleural thickening"],
    "Consolidation": ["air bronchogram"],
    "Hilar Enlargement": ["adenopathy", "pulmonary artery enlargement"],
    "Support Devices": ["device", "pacemaker"],
}  # fmt: skip


@pytest.fixture(scope="module")
def xrv() -> ModuleType:
    with warnings.catch_warnings(action="ignore"):
        return pytest.importorskip("torchxrayvision", reason="torchxrayvision is not installed: pip install cxr[test]")


def rows(kind: str, place: Path) -> list[SourceRow]:
    return list(SOURCES[kind](str(place), SourceOptions(notes=lambda line: None)))


def matrix(labels: Sequence[Labels], findings: Sequence[str]) -> np.ndarray:
    """Ours, as torchxrayvision has it: doubt and silence are no number."""
    known = sorted({name for one in labels for name in one.findings} | {*findings})
    lists = [one.as_columns(known) for one in labels]
    table = pa.table({name: pa.array([one[name] for one in lists], pa.list_(pa.string())) for name in LISTS})
    return label_matrix(table, findings, LabelPolicy())


def by_name(found: Sequence[SourceRow], names: Sequence[str]) -> list[Labels]:
    """The labels of the rows whose files have these stems, in their order."""
    labels = {Path(row.name).stem: row.labels for row in found}
    return [labels[Path(name).stem] for name in names]


def test_nih14(xrv: ModuleType, tmp_path: Path):
    published.write_nih14(tmp_path)
    theirs = xrv.datasets.NIH_Dataset(
        str(tmp_path), str(tmp_path / "Data_Entry_2017_v2020.csv"), views=["*"], unique_patients=False
    )
    found = rows("nih14", tmp_path)
    ours = by_name(found, theirs.csv["Image Index"])
    np.testing.assert_array_equal(matrix(ours, theirs.pathologies), theirs.labels)
    boxes = [(row.name[-16:], box.finding, box.x, box.y, box.width, box.height) for row in found for box in row.boxes]
    masks = xrv.datasets.NIH_Dataset(
        str(tmp_path), str(tmp_path / "Data_Entry_2017_v2020.csv"), str(tmp_path / "BBox_List_2017.csv")
    ).pathology_maskscsv
    assert boxes == list(masks[["Image Index", "Finding Label", "x", "y", "w", "h"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("part", ["train", "valid"])
def test_chexpert(xrv: ModuleType, tmp_path: Path, part: str):
    """Its Effusion is Pleural Effusion here, as published. No Finding makes all absent but Support Devices."""
    published.write_chexpert(tmp_path)
    table = tmp_path / "CheXpert-v1.0-small" / f"{part}.csv"
    theirs = xrv.datasets.CheX_Dataset(str(tmp_path), str(table), views=["*"], unique_patients=False)
    found = {row.name: row for row in rows("chexpert", tmp_path)}
    ours = [found[path] for path in theirs.csv["Path"]]
    names = [CHEXPERT_NAMES.get(name, name) for name in theirs.pathologies]
    np.testing.assert_array_equal(matrix([row.labels for row in ours], names), theirs.labels)
    assert [row.view or "" for row in ours] == [v.replace("L", "lateral") for v in theirs.csv["view"]]


def test_mimic(xrv: ModuleType, tmp_path: Path):
    """torchxrayvision lists no picture of a study without labels, and here No Finding makes it take Support Devices as
    absent too, unlike for CheXpert: they stay unknown with us, as CheXpert's authors define No Finding."""
    published.write_mimic(tmp_path)
    tables = (tmp_path / f"mimic-cxr-2.0.0-{name}.csv.gz" for name in ("chexpert", "metadata"))
    theirs = xrv.datasets.MIMIC_Dataset(str(tmp_path), *map(str, tables), views=["*"], unique_patients=False)
    found = rows("mimic-cxr-jpg", tmp_path)
    names = [CHEXPERT_NAMES.get(name, name) for name in theirs.pathologies]
    ours, healthy = matrix(by_name(found, theirs.csv["dicom_id"]), names), theirs.csv["No Finding"] == 1
    devices = names.index("Support Devices")
    assert np.isnan(ours[healthy, devices]).all() and (theirs.labels[healthy, devices] == 0).all() and healthy.any()
    ours[healthy, devices] = 0
    np.testing.assert_array_equal(ours, theirs.labels)
    assert {row.name for row in found if row.labels.known} == {
        f"files/p10/p{p}/s{s}/{d}.jpg"
        for p, s, d in theirs.csv[["subject_id", "study_id", "dicom_id"]].itertuples(index=False)
    }


def padchest_groups(pathologies: Sequence[str], labels: Sequence[Labels]) -> Mapping[str, Sequence[str]]:
    """Its pathologies as those labels of the set that hold one of its words; Tube, only at a label's end."""
    known = sorted({name for one in labels for name in one.findings})
    groups = {}
    for name in pathologies:
        words = [name.casefold(), *PADCHEST_SYNONYMS.get(name, ())]
        fits = [one for one in known if any(word in one.casefold() for word in words)]
        groups[name] = [one for one in known if one.endswith(("tube", "stent"))] if name == "Tube" else fits
    return groups


def test_padchest(xrv: ModuleType, tmp_path: Path):
    """torchxrayvision looks for words inside labels, and takes pictures labelled `unchanged` or `exclude` alone as
    without any finding; with us these say nothing. Our labels are the published ones, merged here by its words."""
    published.write_padchest(tmp_path)
    table = tmp_path / PADCHEST.tables[0].names[0]
    theirs = xrv.datasets.PC_Dataset(str(tmp_path), str(table), views=["*"], unique_patients=False)
    ours = by_name(rows("padchest", tmp_path), theirs.csv["ImageID"])
    groups = padchest_groups(theirs.pathologies, ours)
    known = np.array([one.known for one in ours])
    assert Counter(theirs.csv["Labels"][~known]) == {"['unchanged']": 1, "['exclude']": 1}
    found = matrix([merge_findings(one, groups) for one in ours], theirs.pathologies)
    np.testing.assert_array_equal(found[known], theirs.labels[known])
    assert np.isnan(found[~known]).all() and not theirs.labels[~known].any()


@pytest.mark.parametrize("form", ["kaggle", "physionet"])
def test_vindr(xrv: ModuleType, tmp_path: Path, form: str):
    """Its fourteen findings; the files of PhysioNet have fourteen more."""
    write, table = {
        "kaggle": (published.write_vindr, "train.csv"),
        "physionet": (published.write_vindr_physionet, "annotations/annotations_train.csv"),
    }[form]
    write(tmp_path)
    theirs = xrv.datasets.VinBrain_Dataset(str(tmp_path), str(tmp_path / table))
    ours = by_name(rows("vindr", tmp_path), theirs.csv["image_id"])
    names = [VINDR_NAMES.get(name, name) for name in theirs.pathologies]
    np.testing.assert_array_equal(matrix(ours, names), theirs.labels)


def test_rsna(xrv: ModuleType, tmp_path: Path):
    """Its Pneumonia and Lung Opacity are one thing, the challenge's Target; here it is called Lung Opacity."""
    published.write_rsna(tmp_path)
    headers = [(patient, "PA") for patient, *_ in published.RSNA_ROWS]
    published.write_table(tmp_path / "headers.csv", "PatientID,ViewPosition", headers)
    theirs = xrv.datasets.RSNA_Pneumonia_Dataset(
        str(tmp_path), str(tmp_path / "stage_2_train_labels.csv"), str(tmp_path / "headers.csv"), views=["*"]
    )
    ours = by_name(rows("rsna", tmp_path), theirs.csv["patientId"])
    opacity = matrix(ours, ["Lung Opacity"])
    np.testing.assert_array_equal(np.hstack([opacity, opacity]), theirs.labels)


def test_brax(xrv: ModuleType, tmp_path: Path):
    published.write_brax(tmp_path)
    theirs = xrv.datasets.BRAX_Dataset(
        str(tmp_path), str(tmp_path / "master_spreadsheet_update.csv"), views=["*"], unique_patients=False
    )
    found = {row.name: row for row in rows("brax", tmp_path)}
    ours = [found[path] for path in theirs.csv["PngPath"]]
    names = [CHEXPERT_NAMES.get(name, name) for name in theirs.pathologies]
    np.testing.assert_array_equal(matrix([row.labels for row in ours], names), theirs.labels)
    assert [row.age for row in ours] == theirs.csv["age_years"].tolist()


OPENI = """<eCitation><uId id="CXR{n}"/><MeSH>{terms}</MeSH>
<parentImage id="CXR{n}_IM-0001-1001"/></eCitation>"""
OPENI_TERMS = [  # by people, by the machine
    (["Pleural Effusion/left", "Opacity/lung/base"], ["pleural effusion", "opacity"]),
    (["Pulmonary Edema", "Cardiomegaly/mild"], ["pulmonary edema", "cardiomegaly"]),
    (["Calcified Granuloma/lung/hilum"], ["calcified granuloma"]),
    (["normal"], []),
]


def test_openi(xrv: ModuleType, tmp_path: Path):
    """torchxrayvision looks for words inside the terms that a machine found; here the terms are those that people gave,
    under their own names. Where both name the same, the labels are the same."""
    import io
    import tarfile

    with tarfile.open(tmp_path / "NLMCXR_reports.tgz", "w:gz") as archive:
        for n, (major, automatic) in enumerate(OPENI_TERMS, 1):
            terms = "".join(
                f"<{kind}>{term}</{kind}>"
                for kind, named in (("major", major), ("automatic", automatic))
                for term in named
            )
            member, data = tarfile.TarInfo(f"ecgen-radiology/{n}.xml"), OPENI.format(n=n, terms=terms).encode()
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    published.write_pictures(tmp_path, [f"CXR{n}_IM-0001-1001.png" for n in range(1, len(OPENI_TERMS) + 1)])
    theirs = xrv.datasets.Openi_Dataset(
        str(tmp_path), str(tmp_path / "NLMCXR_reports.tgz"), views=["*"], unique_patients=False
    )
    ours = by_name(rows("openi", tmp_path), theirs.csv["imageid"])
    groups = {
        "Effusion": ["Pleural effusion"], "Lung Opacity": ["Opacity"], "Edema": ["Pulmonary edema"],
        "Cardiomegaly": ["Cardiomegaly"], "Calcified Granuloma": ["Calcified granuloma"],
        "Granuloma": ["Calcified granuloma", "Granuloma"],
    }  # fmt: skip
    found = matrix(
        [merge_findings(one, {n: groups.get(n, [n]) for n in theirs.pathologies}) for one in ours], theirs.pathologies
    )
    np.testing.assert_array_equal(found, theirs.labels)


# --- the true tables that come with torchxrayvision ---


def read_labels(path: Path, cells: LabelCells, key: str) -> dict[str, list[Labels]]:
    """Of a whole table: the rows' labels by the cell of a column."""
    reader, name = LabelReader(cells), fold_column_name(key)
    table, _ = read_rows(path, Schema("rows", (name, *reader.columns), watched=(), numbers=()))
    found: dict[str, list[Labels]] = {}
    for row in table:
        found.setdefault(str(row[name]), []).append(reader.read(row))
    return found


def included(xrv: ModuleType, name: str) -> Path:
    path = Path(xrv.__file__).parent / "data" / name
    return path if path.exists() else pytest.skip(f"this torchxrayvision comes without {name}")


@pytest.mark.slow
def test_all_of_nih14(xrv: ModuleType):
    path = included(xrv, "Data_Entry_2017_v2020.csv.gz")
    ours = read_labels(path, NIH14.labels, "Image Index")
    theirs = xrv.datasets.NIH_Dataset(str(path.parent), str(path), views=["*"], unique_patients=False)
    assert len(ours) == len(theirs.labels) == 112_120 and set(theirs.pathologies) == set(NIH14_FINDINGS)
    listed = [ours[name][0] for name in theirs.csv["Image Index"]]
    np.testing.assert_array_equal(matrix(listed, theirs.pathologies), theirs.labels)


@pytest.mark.slow
def test_all_of_chexpert(xrv: ModuleType):
    path = included(xrv, "chexpert_train.csv.gz")
    ours = read_labels(path, CHEXPERT.labels, "Path")
    theirs = xrv.datasets.CheX_Dataset(str(path.parent), str(path), views=["*"], unique_patients=False)
    names = [CHEXPERT_NAMES.get(name, name) for name in theirs.pathologies]
    assert len(ours) == 223_414 and set(names) == set(CHEXPERT_FINDINGS)
    np.testing.assert_array_equal(matrix([ours[p][0] for p in theirs.csv["Path"]], names), theirs.labels)


@pytest.mark.slow
def test_all_of_padchest(xrv: ModuleType):
    path = included(xrv, "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz")
    ours = read_labels(path, PADCHEST.labels, "ImageID")
    theirs = xrv.datasets.PC_Dataset(str(path.parent), str(path), views=["*"], unique_patients=False)
    listed = [ours[name][0] for name in theirs.csv["ImageID"]]
    known = np.array([one.known for one in listed])
    groups = padchest_groups(theirs.pathologies, listed)
    merged = [merge_findings(one, groups) for one in listed]
    np.testing.assert_array_equal(matrix(merged, theirs.pathologies)[known], theirs.labels[known])
    assert len(ours) > 160_000 and 0.96 < known.mean() < 0.97 and not theirs.labels[~known].any()


@pytest.mark.slow
def test_all_of_vindr(xrv: ModuleType):
    from cxr.data.labels import merge_readings

    path = included(xrv, "vinbigdata-train.csv.gz")
    ours = read_labels(path, VINDR.labels, "image_id")
    theirs = xrv.datasets.VinBrain_Dataset(str(path.parent), str(path))
    names = [VINDR_NAMES.get(name, name) for name in theirs.pathologies]
    assert len(ours) == 15_000
    listed = [merge_readings(ours[name]) for name in theirs.csv["image_id"]]
    np.testing.assert_array_equal(matrix(listed, names), theirs.labels)


# --- real pictures ---


def test_the_real_nih_pictures_in_the_published_form(tmp_path: Path):
    manifest = DATA / "nih-cxr" / "manifest.csv"
    if not manifest.exists():
        pytest.skip(f"no real data at {manifest}")
    with manifest.open(newline="") as file:
        listed = list(csv.DictReader(file))
    (tmp_path / "images_001" / "images").mkdir(parents=True)
    entries = []
    for row in listed:
        index = Path(row["file"]).stem.removeprefix("nih_")
        (tmp_path / "images_001" / "images" / f"{index}.jpg").write_bytes((manifest.parent / row["file"]).read_bytes())
        patient, age = int(row["patient_id"].removeprefix("nih-")), f"{int(row['age']):03d}Y"
        entries.append((f"{index}.png", row["finding"], 0, patient, age, row["sex"], row["view"], 0, 0, 0, 0, ""))
    header = published.NIH_HEADER.format(sex="Patient Gender") + ","
    published.write_table(tmp_path / "Data_Entry_2017.csv", header, entries)
    found = rows("nih14", tmp_path)
    assert len(found) == 773 and len({row.patient_id for row in found}) == 531
    for row, told in zip(found, listed, strict=True):
        named = () if told["finding"] == "No Finding" else tuple(sorted(told["finding"].split("|")))
        assert row.labels.present == named and len(row.labels.absent) == 14 - len(named)
        assert (row.view, row.sex, row.age) == (told["view"], told["sex"], int(told["age"]))
    assert Counter(bool(row.labels.present) for row in found) == {True: 398, False: 375}
    assert found[0].load()[:2] == b"\xff\xd8"
