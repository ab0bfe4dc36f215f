"""The public sets in the form in which they are published, with their true file names and columns and made-up rows."""

import csv
import gzip
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

Cells = Sequence[object]


def cells_of(line: str) -> list[str]:
    return next(csv.reader([line]))


CHEXPERT_FINDINGS = cells_of(
    "Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,"
    "Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
VINDR_COLUMNS = cells_of(
    "image_id,rad_id,Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,Edema,"
    "Emphysema,Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,"
    "Pleural effusion,Pleural thickening,Pneumothorax,Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,"
    "Pneumonia,Tuberculosis,Other diseases,No finding"
)
NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,{sex},View Position,OriginalImage[Width,Height],"
    "OriginalImagePixelSpacing[x,y]"
)


def write_table(path: Path, header: str | Sequence[str], rows: Iterable[Cells]) -> None:
    """A CSV, packed where its name ends so; the header as it is where it is text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="") as file:
        file.write(f"{header}\n" if isinstance(header, str) else "")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows(([] if isinstance(header, str) else [header]) + [list(row) for row in rows])


def write_pictures(root: Path, names: Iterable[str], picture: bytes = b"picture") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture)


NIH_ROWS = [  # index, labels, patient, age, sex, view
    ("00000001_000.png", "Cardiomegaly", 1, 58, "M", "PA"),
    ("00000001_001.png", "Cardiomegaly|Emphysema", 1, 58, "M", "PA"),
    ("00000002_000.png", "No Finding", 2, 81, "F", "AP"),
    ("00000003_000.png", "Hernia|Infiltration|Pleural_Thickening", 3, 74, "F", "PA"),
    ("00000004_000.png", "Pneumonia", 4, 411, "M", "PA"),
]


def write_nih14(root: Path, old: bool = False) -> None:
    name, sex = ("Data_Entry_2017.csv", "Patient Gender") if old else ("Data_Entry_2017_v2020.csv", "Patient Sex")
    rows = [
        (index, labels, 0, patient, f"{age:03d}Y" if old else age, who, view, 2682, 2749, 0.143, 0.143)
        for index, labels, patient, age, who, view in NIH_ROWS
    ]
    write_table(root / name, NIH_HEADER.format(sex=sex) + ("," if old else ""), [(*r, "") if old else r for r in rows])
    names = [index for index, *_ in NIH_ROWS]
    write_pictures(root, [f"images_{n // 2 + 1:03d}/images/{name}" for n, name in enumerate(names)])
    (root / "train_val_list.txt").write_text("".join(f"{name}\n" for name in names[:4]))
    (root / "test_list.txt").write_text(names[4])
    boxes = [
        (names[0], "Cardiomegaly", 225.0, 547.5, 86.5, 79.0, "", "", ""),
        (names[3], "Infiltrate", 10, 20, 30, 40, "", "", ""),
    ]
    write_table(root / "BBox_List_2017.csv", "Image Index,Finding Label,Bbox [x,y,w,h],,,", boxes)


def marks(**states: object) -> list[object]:
    """The cells of `No Finding` and the thirteen findings, blank where nothing is given; _ stands for a blank."""
    named = {name.replace("_", " "): state for name, state in states.items()}
    return [named.get(name, "") for name in ("No Finding", *CHEXPERT_FINDINGS)]


CHEXPERT_ROWS = [  # path, sex, age, frontal or lateral, AP or PA, marks
    (
        "patient00001/study1/view1_frontal.jpg",
        "Female",
        68,
        "Frontal",
        "AP",
        marks(No_Finding="1.0", Pneumothorax="0.0", Support_Devices="1.0"),
    ),
    (
        "patient00002/study2/view1_frontal.jpg",
        "Female",
        87,
        "Frontal",
        "PA",
        marks(Lung_Opacity="1.0", Edema="-1.0", Pneumonia="-1.0", Pleural_Effusion="-1.0"),
    ),
    (
        "patient00002/study1/view2_lateral.jpg",
        "Female",
        83,
        "Lateral",
        "",
        marks(Lung_Opacity="1.0", Pneumothorax="0.0", Fracture="1.0"),
    ),
    ("patient00003/study1/view1_frontal.jpg", "Unknown", 0, "Frontal", "PA", marks()),
    ("patient00004/study1/view1_frontal.jpg", "Male", 20, "Frontal", "PA", marks(No_Finding="1.0")),
]
CHEXPERT_HEADER = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", *CHEXPERT_FINDINGS]


def write_chexpert(root: Path, name: str = "CheXpert-v1.0-small") -> None:
    rows = [(f"{name}/train/{path}", *cells, *labels) for path, *cells, labels in CHEXPERT_ROWS]
    write_table(root / name / "train.csv", CHEXPERT_HEADER, rows)
    valid = (f"{name}/valid/patient64541/study1/view1_frontal.jpg", "Male", 73, "Frontal", "AP")
    labels = ["0.0", "1.0", "1.0", "1.0", *["0.0"] * 10]
    write_table(root / name / "valid.csv", CHEXPERT_HEADER, [(*valid, *labels)])
    write_pictures(root, [str(row[0]) for row in [*rows, valid]])


MIMIC_ROWS = [  # subject, study, dicom, view, split
    (10000032, 50414267, "02aa804e-bde0afdd", "PA", "train"),
    (10000032, 50414267, "174413ec-4ec4c1f7", "LATERAL", "train"),
    (10000764, 57375967, "096052b7-d256dc40", "AP", "test"),
    (10000935, 50578979, "d0b71acc-b5a62046", "", "validate"),
    (10000980, 50985099, "6ad03ed1-97ee17ee", "PA", "train"),
]
MIMIC_LABELS = [
    (10000032, 50414267, marks(No_Finding="1.0")),
    (10000764, 57375967, marks(Consolidation="1.0", Edema="-1.0", Pneumonia="0.0")),
    (10000935, 50578979, marks(Atelectasis="-1.0", Support_Devices="1.0")),
]  # a study of MIMIC's may have no row here


def write_mimic(root: Path, program: str = "chexpert") -> None:
    # in the order of the release, which is that of the alphabet
    findings = sorted([*CHEXPERT_FINDINGS, "No Finding"])
    order = [["No Finding", *CHEXPERT_FINDINGS].index(name) for name in findings]
    labels = [(subject, study, *(cells[i] for i in order)) for subject, study, cells in MIMIC_LABELS]
    write_table(root / f"mimic-cxr-2.0.0-{program}.csv.gz", ["subject_id", "study_id", *findings], labels)
    header = (
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
        "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
    )
    metadata = [
        (dicom, subject, study, "CHEST (PA AND LAT)", view, 3056, 2544, 21800506, 213014.531, "CHEST", "", "Erect")
        for subject, study, dicom, view, _ in MIMIC_ROWS
    ]
    write_table(root / "mimic-cxr-2.0.0-metadata.csv.gz", header, metadata)
    splits = [(dicom, study, subject, split) for subject, study, dicom, _, split in MIMIC_ROWS]
    write_table(root / "mimic-cxr-2.0.0-split.csv.gz", "dicom_id,study_id,subject_id,split", splits)
    write_pictures(root, [f"files/p{str(p)[:2]}/p{p}/s{s}/{d}.jpg" for p, s, d, *_ in MIMIC_ROWS])


PADCHEST_HEADER = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,PhotometricInterpretation_DICOM,"
    "PixelRepresentation_DICOM,PixelAspectRatio_DICOM,SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,"
    "WindowWidth_DICOM,Rows_DICOM,Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,ExposureInuAs_DICOM,"
    "ExposureTime,RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,Labels,Localizations,"
    "LabelsLocalizationsBySentence,labelCUIS,LocalizationsCUIS"
)
PADCHEST_ROWS = [  # image, folder, day, patient, birth, sex, projection, labels
    ("20536686640136_k6ga29.png", 0, 20140915, "839860488694", "1930.0", "F", "PA", "['normal']"),
    (
        "13580341550492_fzis7d.png",
        0,
        20150914,
        "313572750430",
        "1929.0",
        "M",
        "L",
        "['pleural effusion', ' normal', 'COPD signs']",
    ),
    (
        "11398004279661_hjyvjd.png",
        54,
        20140813,
        "505841690384",
        "1949.0",
        "O",
        "AP_horizontal",
        "['cardiomegaly', 'nodule', 'cardiomegaly', '']",
    ),
    ("21684011136696_00-163-058x.png", 54, 20100101, "505841690385", "1949.0", "M", "PA", "['unchanged']"),
    ("21684011136697_00-163-059.png", 13, 20100101, "505841690386", "1940.0", "M", "COSTAL", "['exclude']"),
    ("21684011136698_00-163-060.png", 13, 20100101, "505841690387", "1940.0", "F", "PA", ""),
]


def write_padchest(root: Path) -> None:
    columns = PADCHEST_HEADER.split(",")
    rows = []
    for number, (image, folder, day, patient, birth, sex, view, labels) in enumerate(PADCHEST_ROWS):
        cells = {
            "": number, "ImageID": image, "ImageDir": folder, "StudyDate_DICOM": day, "PatientID": patient,
            "PatientBirth": birth, "PatientSex_DICOM": sex, "Projection": view, "Labels": labels,
            "Report": ' sin hallazg "patolog" edad pacient , .', "LabelsLocalizationsBySentence": "[['normal'], []]",
        }  # fmt: skip
        rows.append([cells.get(column, "") for column in columns])
    write_table(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz", columns, rows)
    write_pictures(root, [f"{folder}/{image}" for image, folder, *_ in PADCHEST_ROWS])


VINDR_ROWS = [  # image, class, number, reader, box
    ("50a418190bc3fb1e", "No finding", 14, "R11", ("", "", "", "")),
    ("50a418190bc3fb1e", "No finding", 14, "R15", ("", "", "", "")),
    ("9a5094b2563a1ef3", "Cardiomegaly", 3, "R10", (691, 1375, 1653, 1831)),
    ("9a5094b2563a1ef3", "Nodule/Mass", 8, "R9", (100, 200, 160, 280)),
    ("9a5094b2563a1ef3", "Cardiomegaly", 3, "R9", (690, 1370, 1650, 1830)),
    ("051132a778e61a86", "Pleural effusion", 10, "R8", (1, 2, 3, 4)),
]


def write_vindr(root: Path, suffix: str = ".dicom", picture: bytes = b"picture") -> None:
    header = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    write_table(root / "train.csv", header, [(*cells, *box) for *cells, box in VINDR_ROWS])
    write_pictures(root, {f"train/{row[0]}{suffix}" for row in VINDR_ROWS}, picture)


def write_vindr_physionet(root: Path) -> None:
    findings = VINDR_COLUMNS[2:]
    readers = sorted({(image, reader) for image, _, _, reader, _ in VINDR_ROWS})
    named = {(image, reader, name) for image, name, _, reader, _ in VINDR_ROWS}
    train = [(image, who, *(int((image, who, name) in named) for name in findings)) for image, who in readers]
    write_table(root / "annotations" / "image_labels_train.csv", VINDR_COLUMNS, train)
    test = [name for name in VINDR_COLUMNS if name != "rad_id"]
    test[test.index("Other diseases")] = "Other disease"
    cells = [int(name in ("Other disease", "Edema")) for name in test[1:]]
    write_table(root / "annotations" / "image_labels_test.csv", test, [("002a34c58c5b758217ed1f584ccbcfe9", *cells)])
    boxes = [(image, who, name, *box) for image, name, _, who, box in VINDR_ROWS]
    header = "image_id,rad_id,class_name,x_min,y_min,x_max,y_max"
    write_table(root / "annotations" / "annotations_train.csv", header, boxes)
    write_pictures(root, {f"train/{row[0]}.dicom" for row in VINDR_ROWS})
    write_pictures(root, ["test/002a34c58c5b758217ed1f584ccbcfe9.dicom"])


RSNA_ROWS = [  # patient, class, boxes
    ("0004cfab-14fd", "No Lung Opacity / Not Normal", []),
    ("00313ee0-9eaa", "Normal", []),
    ("00436515-870c", "Lung Opacity", [(264.0, 152.0, 213.0, 379.0), (562.0, 152.0, 256.0, 453.0)]),
]


def write_rsna(root: Path, suffix: str = ".dcm") -> None:
    labels, classes = [], []
    for patient, name, boxes in RSNA_ROWS:
        for box in boxes or [("", "", "", "")]:
            labels.append((patient, *box, int(bool(boxes))))
            classes.append((patient, name))
    write_table(root / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", labels)
    write_table(root / "stage_2_detailed_class_info.csv", "patientId,class", classes)
    write_pictures(root, [f"stage_2_train_images/{patient}{suffix}" for patient, *_ in RSNA_ROWS])
    write_pictures(root, [f"stage_2_test_images/0000a175-0e68{suffix}"])


BRAX_ROWS = [  # folder, patient, sex, age, view, marks
    ("id_0001/Study_1.1/Series_1.1/image-1-0-0.png", "id_0001", "F", 55, "PA", marks(No_Finding="1.0")),
    (
        "id_0002/Study_1.2/Series_1.2/image-1-0-0.png",
        "id_0002",
        "M",
        "85 or more",
        "L",
        marks(Edema="-1.0", Fracture="0.0"),
    ),
    (
        "id_0003/Study_1.3/Series_1.3/image-1-0-0.png",
        "id_0003",
        "M",
        40,
        "",
        marks(Cardiomegaly="1.0", Pneumonia="1.0"),
    ),
]


def write_brax(root: Path) -> None:
    header = [
        *("", "DicomPath", "PngPath", "PatientID", "PatientSex", "PatientAge", "AccessionNumber", "StudyDate"),
        *("No Finding", *CHEXPERT_FINDINGS, "ViewPosition", "Rows", "Columns", "Manufacturer"),
    ]
    rows = [
        (
            n,
            f"Anonymized_DICOMs/{path}.dcm",
            f"images/{path}",
            who,
            sex,
            age,
            n,
            20081231,
            *cells,
            view,
            2320,
            2828,
            "M",
        )
        for n, (path, who, sex, age, view, cells) in enumerate(BRAX_ROWS)
    ]
    write_table(root / "master_spreadsheet_update.csv", header, rows)
    write_pictures(root, [f"images/{path}" for path, *_ in BRAX_ROWS])


def write_kermany(root: Path, top: str = "chest_xray") -> None:
    names = [
        *("train/NORMAL/IM-0115-0001.jpeg", "train/NORMAL/NORMAL2-IM-0123-0001.jpeg"),
        *("train/PNEUMONIA/person1_bacteria_1.jpeg", "train/PNEUMONIA/person1000_virus_1681.jpeg"),
        *("val/NORMAL/NORMAL2-IM-1427-0001.jpeg", "val/PNEUMONIA/person1946_bacteria_4874.jpeg"),
        *("test/NORMAL/IM-0001-0001.jpeg", "test/PNEUMONIA/person1_virus_6.jpeg"),
    ]
    write_pictures(root, [f"{top}/{name}" for name in names])
    write_pictures(root, [f"{top}/chest_xray/{name}" for name in names])
    write_pictures(root, [f"{top}/__MACOSX/chest_xray/._{name.rpartition('/')[2]}" for name in names])


def write_covid_radiography(root: Path) -> None:
    for folder in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"):
        stems = [f"{folder}-{number}" for number in (1, 2)]
        write_pictures(root, [f"{folder}/{kind}/{stem}.png" for kind in ("images", "masks") for stem in stems])
        write_pictures(root, [f"{folder}.metadata.xlsx"])


WRITERS: dict[str, Callable[[Path], None]] = {
    "nih14": write_nih14, "chexpert": write_chexpert, "mimic-cxr-jpg": write_mimic, "padchest": write_padchest,
    "vindr": write_vindr, "rsna": write_rsna, "brax": write_brax, "kermany": write_kermany,
    "covid-radiography": write_covid_radiography,
}  # fmt: skip
