"""Publishers' spellings as the catalog has them: names, findings, splits, sex, age, patients."""

import re
from pathlib import PurePosixPath

from cxr.errors import BadInput
from cxr.prompts.findings import BINARY, FINDINGS
from cxr.prompts.lists import safe_finding

MAX_AGE = 120  # years; what is beyond is a mistake (NIH has patients of 400 years)
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_SEXES = {"f": "F", "female": "F", "w": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}
_KNOWN = {name.casefold(): name for name in FINDINGS + BINARY}
# Kermany (hf-vision/chest-xray-pneumonia): person1_virus_6, IM-0115-0001, NORMAL2-IM-0123-0001. NIH: 00001281_000.
_PATIENTS = (r"(person\d+)_.*", r"(?:NORMAL2-)?(IM-\d{4})-.*", r"(\d{8})_\d{3}")


def escape_unprintable(name: str) -> str:
    """The name with control characters, lone surrogates and backslashes escaped; different names stay different."""
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(c if c.isprintable() and c != "\\" else repr(c)[1:-1] for c in name)


def parse_finding(label: str) -> str:
    """The label as a finding: one of ours in whatever case as ours (NORMAL is normal), else unchanged.

    Raises:
        BadInput: it cannot be a folder name.
    """
    return safe_finding(_KNOWN.get(label.casefold(), label))


def parse_split(word: str) -> str | None:
    """train, validation or test; None for nothing.

    Raises:
        BadInput: another word.
    """
    if word and word.casefold() not in SPLIT_NAMES:
        raise BadInput(f"split is {word[:40]!a}; write train, validation or test, or leave it empty")
    return SPLIT_NAMES.get(word.casefold())


def parse_sex(word: str) -> str | None:
    return _SEXES.get(word.casefold())


def parse_age(text: str) -> int | None:
    """Whole years, of 42, 42.0 or DICOM's 042Y, 018M, 003W and 010D; None for what is no age."""
    found = re.fullmatch(r"(\d{1,4})(?:[.,]\d*)?([YMWD]?)", text.strip().upper())
    if not found:
        return None
    years = int(found[1]) // {"Y": 1, "": 1, "M": 12, "W": 52, "D": 365}[found[2]]
    return years if years <= MAX_AGE else None


def parse_patient(name: str) -> str | None:
    """The patient, where a known publisher's file names tell.

    Kermany's NORMAL2-IM-0123 and IM-0123 count as one patient, as do person1_virus and person1_bacteria: whether they
    are is not published, and keeping two patients on one side of a split does no harm.
    """
    stem = PurePosixPath(name).stem
    return next((found[1] for pattern in _PATIENTS if (found := re.fullmatch(pattern, stem))), None)
