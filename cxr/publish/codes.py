"""Findings as coded concepts. A finding without an entry has no code here: it is told in words alone.

Codes of DCM, and those of SNOMED CT (SCT) for the first group, are in DICOM PS3.16 (CID 6101 to 6138, 645, 3700), which
pydicom ships as `pydicom.sr.codedict`; those of the second group are SNOMED CT's own.
"""

from typing import NamedTuple


class Concept(NamedTuple):
    """A code of a coding scheme, and what it means there."""

    value: str
    scheme: str
    meaning: str


OF_THE_STANDARD = {
    "pneumothorax": Concept("36118008", "SCT", "Pneumothorax"),
    "effusion": Concept("60046008", "SCT", "Pleural effusion"),
    "pleuraleffusion": Concept("60046008", "SCT", "Pleural effusion"),
    "edema": Concept("19242006", "SCT", "Pulmonary edema"),
    "pulmonaryedema": Concept("19242006", "SCT", "Pulmonary edema"),
    "nodule": Concept("27925004", "SCT", "Nodule"),
    "mass": Concept("4147007", "SCT", "Mass"),
    "infiltration": Concept("112121", "DCM", "Infiltrate"),
    "infiltrate": Concept("112121", "DCM", "Infiltrate"),
    "groundglass": Concept("112120", "DCM", "Ground glass opacity"),
    "lungopacity": Concept("112001", "DCM", "Opacity"),
    "lungopacities": Concept("112001", "DCM", "Opacity"),
    "miliary": Concept("112129", "DCM", "Miliary pattern"),
    "pacemaker": Concept("14106009", "SCT", "Cardiac pacemaker"),
    "endotrachealtube": Concept("26412008", "SCT", "Endotracheal tube"),
    "centralline": Concept("112174", "DCM", "Central line"),
    "chestdrain": Concept("112173", "DCM", "Chest tube"),
}
OF_SNOMED = {
    "cardiomegaly": Concept("8186001", "SCT", "Cardiomegaly"),
    "pneumonia": Concept("233604007", "SCT", "Pneumonia"),
    "atelectasis": Concept("46621007", "SCT", "Atelectasis"),
    "consolidation": Concept("95436008", "SCT", "Lung consolidation"),
    "emphysema": Concept("87433001", "SCT", "Pulmonary emphysema"),
}
CODES = OF_THE_STANDARD | OF_SNOMED


def code_of(finding: str) -> Concept | None:
    """The concept of a finding, however its name is spelled."""
    return CODES.get("".join(filter(str.isalnum, finding.casefold())))
