"""The public sets as they are published, as data: files, columns, codes, citation. `published.py` reads them.

Facts only; no picture and no table of a set is here. Columns, codes and counts as of the releases named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cxr.data.sources.label_cells import LabelCells, Marks, Names


@dataclass(frozen=True)
class Table:
    """A file of the release, by its names in order of preference; also without .gz."""

    names: tuple[str, ...]
    split: str = ""  # the part that all its pictures are of
    optional: bool = False


@dataclass(frozen=True)
class Join:
    """A table with more columns of the same pictures."""

    table: Table
    key: str  # a column of both
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Boxes:
    """A table with a row for each box: x and y of its upper left corner, and its width and height or other corner."""

    tables: tuple[Table, ...]
    picture: str
    columns: tuple[str, str, str, str]
    corners: bool = False  # the last two columns are the lower right corner
    finding: str = ""  # a column
    of: str = ""  # the finding of all boxes, where no column names it
    renamed: Mapping[str, str] = field(default_factory=dict)
    reader: str = ""  # a column
    side: int | None = None  # pixels of the square that coordinates are of; None: of the DICOM file's own


@dataclass(frozen=True)
class Layout:
    """One form in which a set is published."""

    title: str
    licence: str
    citation: str
    where: str  # to get it
    odd: tuple[str, ...]  # what a user should know; a sentence each
    labels: LabelCells
    tables: tuple[Table, ...]  # a row a picture, or several
    picture: str  # template of columns: a file's name, whose suffix does not matter
    by_path: bool = False  # it is a path from the table's folder
    strip: str = ""  # a regular expression of what that path begins with and the folder may not
    several: bool = False  # several rows a picture: a reader or a box each
    exclusive: bool = False
    joins: tuple[Join, ...] = ()
    patient: str = ""  # a column
    patient_pattern: str = ""  # or a regular expression of the picture's path
    view: tuple[str, ...] = ()  # columns, the first that is not empty
    only_view: str = ""  # of all pictures
    sex: tuple[str, ...] = ()
    age: tuple[str, ...] = ()  # years, or DICOM's 058Y
    born: tuple[str, str] | None = None  # columns: year of birth, date of the study
    split: str = ""  # a column
    split_lists: Mapping[str, str] = field(default_factory=dict)  # file with a picture's name a line -> part
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # view, sex, age, split -> their word -> ours
    boxes: Boxes | None = None
    header: bool = False  # DICOM headers have view, sex and age
    merged: str = ""  # what --findings is where none is given


@dataclass(frozen=True)
class FolderLayout:
    """A set whose folders and file names tell all."""

    title: str
    licence: str
    citation: str
    where: str
    odd: tuple[str, ...]
    pattern: str  # of a path below the folder, with the groups finding, file, and perhaps split and cause
    findings: Mapping[str, str]  # the words of the groups finding and cause, together, -> ours
    copy_on_hub: bool = False  # a copy from the hub, in Parquet, is read too
    exclusive: bool = True
    merged: str = ""


NIH14_FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia"),
    *("Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax"),
)
CHEXPERT_FINDINGS = (
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation"),
    *("Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices"),
)
CHEXPERT_MARKS = Marks(CHEXPERT_FINDINGS, no_finding="No Finding", apart=("Support Devices",))
VINDR_NAMES = {"Nodule/Mass": "Nodule or mass"}  # a slash is for folders
VINDR_LOCAL = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation"),
    *("Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst"),
    *("Mediastinal shift", "Nodule/Mass", "Other lesion", "Pleural effusion", "Pleural thickening", "Pneumothorax"),
    *("Pulmonary fibrosis", "Rib fracture"),
)
VINDR_KAGGLE = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD", "Infiltration"),
    *("Lung Opacity", "Nodule or mass", "Other lesion", "Pleural effusion", "Pleural thickening", "Pneumothorax"),
    "Pulmonary fibrosis",
)
VINDR_BOXES = Boxes(
    tables=(Table(("train.csv",)),),
    picture="image_id",
    columns=("x_min", "y_min", "x_max", "y_max"),
    corners=True,
    finding="class_name",
    renamed=VINDR_NAMES,
    reader="rad_id",
)
LATERAL = dict.fromkeys(("L", "LL", "RL", "LATERAL", "Lateral"), "lateral")

NIH14 = Layout(
    title="NIH ChestX-ray14",
    licence="no restrictions on use; attribution to the NIH Clinical Center asked",
    citation="Wang et al., ChestX-ray8, CVPR 2017, arXiv:1705.02315",
    where="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    odd=(
        "Labels were mined from reports, which are not published.",
        "The official test list holds sicker patients than the train list.",
        "Some ages of Data_Entry_2017.csv are above 120 years, and are unknown.",
    ),
    labels=Names("Finding Labels", no_finding=("No Finding",), findings=NIH14_FINDINGS),
    tables=(Table(("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")),),
    picture="{Image Index}",
    patient="Patient ID",
    view=("View Position",),
    sex=("Patient Sex", "Patient Gender"),
    age=("Patient Age",),
    split_lists={"train_val_list.txt": "train", "test_list.txt": "test"},
    boxes=Boxes(
        tables=(Table(("BBox_List_2017.csv",)),),
        picture="Image Index",
        columns=("Bbox [x", "y", "w", "h]"),
        finding="Finding Label",
        renamed={"Infiltrate": "Infiltration"},
        side=1024,
    ),
)
CHEXPERT = Layout(
    title="CheXpert",
    licence="Stanford University Dataset Research Use Agreement",
    citation="Irvin et al., CheXpert, AAAI 2019, arXiv:1901.07031",
    where="https://stanfordmlgroup.github.io/competitions/chexpert/",
    odd=(
        "A label program read the reports of train.csv; three radiologists labelled valid.csv.",
        "No Finding says that all findings are absent but Support Devices.",
        "An age of 0 is unknown.",
    ),
    labels=CHEXPERT_MARKS,
    tables=(Table(("train.csv",), "train"), Table(("valid.csv",), "validation", optional=True)),
    picture="{Path}",
    by_path=True,
    strip=r"CheXpert-v1\.0[^/]*/",
    patient_pattern=r"(patient\d+)/",
    view=("AP/PA", "Frontal/Lateral"),
    sex=("Sex",),
    age=("Age",),
    codes={"view": LATERAL, "age": {"0": ""}},
)
MIMIC = Layout(
    title="MIMIC-CXR-JPG",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    citation="Johnson et al., MIMIC-CXR-JPG, arXiv:1901.07042",
    where="https://physionet.org/content/mimic-cxr-jpg/",
    odd=(
        "Labels are of studies: all pictures of one have the same. CheXpert's are read, or NegBio's in their absence.",
        "Sex and age are not in it (MIMIC-IV has them).",
    ),
    labels=CHEXPERT_MARKS,
    tables=(Table(("mimic-cxr-2.0.0-metadata.csv.gz",)),),
    picture="files/p{subject_id:.2}/p{subject_id}/s{study_id}/{dicom_id}.jpg",
    by_path=True,
    joins=(
        Join(
            Table(("mimic-cxr-2.0.0-chexpert.csv.gz", "mimic-cxr-2.0.0-negbio.csv.gz")),
            "study_id",
            CHEXPERT_MARKS.columns,
        ),
        Join(Table(("mimic-cxr-2.0.0-split.csv.gz",), optional=True), "dicom_id", ("split",)),
    ),
    patient="subject_id",
    view=("ViewPosition",),
    split="split",
    codes={"view": LATERAL, "split": {"validate": "validation"}},
)
PADCHEST = Layout(
    title="PadChest",
    licence="PadChest Dataset Research Use Agreement",
    citation="Bustos et al., PadChest, Medical Image Analysis 2020, arXiv:1901.07441",
    where="https://bimcv.cipf.es/bimcv-projects/padchest/",
    odd=(
        "A quarter of the labels are physicians', the others a network's, which read the Spanish reports.",
        "Beside other labels, normal is of a part of the report and says nothing; exclude and unchanged are no labels.",
        "Pictures have 16 bits, of which 12 or so are used.",
        "Some two dozen files of the release are damaged and are refused when they are read.",
    ),
    labels=Names("Labels", separator=None, no_finding=("normal",), ignored=("exclude", "unchanged")),
    tables=(Table(("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz",)),),
    picture="{ImageID}",
    patient="PatientID",
    view=("Projection",),
    sex=("PatientSex_DICOM",),
    born=("PatientBirth", "StudyDate_DICOM"),
    codes={"view": {**LATERAL, "AP_horizontal": "AP supine", "COSTAL": "costal", "EXCLUDE": "", "UNK": ""}},
)
VINDR_PHYSIONET = Layout(
    title="VinDr-CXR",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    citation="Nguyen et al., VinDr-CXR, Scientific Data 2022, arXiv:2012.15029",
    where="https://physionet.org/content/vindr-cxr/",
    odd=(
        "Three radiologists read each training picture: a finding is present if any of them saw it. Five agreed on the "
        "test pictures.",
        "No patients are named: every picture counts as a patient of its own.",
    ),
    labels=Marks(
        (*VINDR_LOCAL, "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases", "Other disease"),
        no_finding="No finding",
        renamed={**VINDR_NAMES, "Other disease": "Other diseases"},
    ),
    tables=(Table(("image_labels_train.csv",), "train"), Table(("image_labels_test.csv",), "test", optional=True)),
    picture="{image_id}",
    several=True,
    only_view="PA",
    boxes=replace(
        VINDR_BOXES, tables=(Table(("annotations_train.csv",)), Table(("annotations_test.csv",), optional=True))
    ),
    header=True,
)
VINDR = replace(
    VINDR_PHYSIONET,
    title="VinDr-CXR (VinBigData challenge)",
    licence="rules of the VinBigData Chest X-ray Abnormalities Detection challenge",
    where="https://www.kaggle.com/c/vinbigdata-chest-xray-abnormalities-detection",
    labels=Names("class_name", separator="", no_finding=("No finding",), findings=VINDR_KAGGLE, renamed=VINDR_NAMES),
    tables=(Table(("train.csv",)),),
    boxes=VINDR_BOXES,
)
RSNA = Layout(
    title="RSNA Pneumonia Detection Challenge 2018",
    licence="RSNA terms of use: any purpose, with the attribution that they ask for",
    citation="Shih et al., Radiology: Artificial Intelligence 2019, doi:10.1148/ryai.2019180041",
    where="https://www.kaggle.com/c/rsna-pneumonia-detection-challenge",
    odd=(
        "The pictures are of NIH ChestX-ray14: never train on one and test on the other.",
        "patientId stands for a picture: one patient's pictures may be on both sides of a split.",
        "Lung Opacity is what the challenge calls pneumonia (Target 1).",
    ),
    labels=Names(
        "class",
        separator="",
        findings=("Lung Opacity", "No Lung Opacity - Not Normal", "Normal"),
        renamed={"No Lung Opacity / Not Normal": "No Lung Opacity - Not Normal"},
    ),
    tables=(Table(("stage_2_detailed_class_info.csv",)),),
    picture="{patientId}",
    several=True,
    exclusive=True,
    patient="patientId",
    boxes=Boxes(
        tables=(Table(("stage_2_train_labels.csv",)),),
        picture="patientId",
        columns=("x", "y", "width", "height"),
        of="Lung Opacity",
        side=1024,
    ),
    header=True,
)
BRAX = Layout(
    title="BRAX",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    citation="Reis et al., BRAX, Scientific Data 2022, doi:10.1038/s41597-022-01608-8",
    where="https://physionet.org/content/brax/",
    odd=(
        "Labels come from CheXpert's program for Portuguese; No Finding says that all are absent but Support Devices.",
        "Ages are in steps of five years, and 85 is 85 or more.",
        "A quarter of the pictures name no view, and some dozen are thin strips.",
    ),
    labels=CHEXPERT_MARKS,
    tables=(Table(("master_spreadsheet_update.csv",)),),
    picture="{PngPath}",
    by_path=True,
    patient="PatientID",
    view=("ViewPosition",),
    sex=("PatientSex",),
    age=("PatientAge",),
    codes={"view": LATERAL, "age": {"85 or more": "85"}},
)
KERMANY = FolderLayout(
    title="Kermany chest X-rays",
    licence="CC BY 4.0",
    citation="Kermany et al., Cell 2018, doi:10.1016/j.cell.2018.02.010; Mendeley Data, doi:10.17632/rscbjbr9sj",
    where="https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia",
    odd=(
        "Children of one to five years. Names tell the patient and, of pneumonia, bacteria or virus: "
        "--findings 'normal,bacterial pneumonia,viral pneumonia' keeps these apart.",
        "Kaggle's archive holds every picture twice, and its val has 16 pictures.",
    ),
    pattern=r"(?:.*/)?(?P<split>train|val|test)/(?P<finding>NORMAL|PNEUMONIA)/"
    r"(?P<file>(?:[^/]*_(?P<cause>bacteria|virus)_)?[^/]*\.jpe?g)",
    findings={
        "NORMAL": "normal", "PNEUMONIA": "pneumonia", "PNEUMONIA bacteria": "bacterial pneumonia",
        "PNEUMONIA virus": "viral pneumonia",
    },
    copy_on_hub=True,
    merged="normal,pneumonia,pneumonia=bacterial pneumonia,pneumonia=viral pneumonia",
)  # fmt: skip
COVID_RADIOGRAPHY = FolderLayout(
    title="COVID-19 Radiography Database",
    licence="as stated at its page on Kaggle; citation asked",
    citation="Chowdhury et al., IEEE Access 2020, arXiv:2003.13145; Rahman et al., 2021, arXiv:2012.02238",
    where="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
    odd=(
        "Each class comes from other sources (Normal and Lung_Opacity mostly from RSNA, Viral Pneumonia from Kermany's "
        "children): a classifier can tell the sources apart instead of the findings.",
        "No patients are named.",
    ),
    pattern=r"(?:.*/)?(?P<finding>COVID|Lung_Opacity|Normal|Viral Pneumonia)/(?:images/)?(?P<file>[^/]+\.png)",
    findings={name: name for name in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")},
)

LAYOUTS: dict[str, tuple[Layout | FolderLayout, ...]] = {  # the first whose first table is there
    "nih14": (NIH14,),
    "chexpert": (CHEXPERT,),
    "mimic-cxr-jpg": (MIMIC,),
    "padchest": (PADCHEST,),
    "vindr": (VINDR_PHYSIONET, VINDR),
    "rsna": (RSNA,),
    "brax": (BRAX,),
    "kermany": (KERMANY,),
    "covid-radiography": (COVID_RADIOGRAPHY,),
}
