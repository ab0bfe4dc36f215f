"""A tree of DICOM files. What can identify a person stays in the reader.

Only these leave it: the pixels, the view (of a fixed list), sex, age up to 89 (90 stands for all above) and a number
for each patient. Files are numbered too, because names of files often hold names of people. Pictures that declare
burned-in annotation are refused; whether others hold any, only looking at them shows.
"""

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cxr.data.images import RejectedImage
from cxr.data.labels import Labels
from cxr.data.sources.dicom_pixels import load_dicom, read_dataset, require_pydicom
from cxr.data.sources.file_kinds import (
    DICOM_SUFFIXES,
    OTHER_SUFFIXES,
    PICTURE_SUFFIXES,
    SkippedFiles,
    count_skipped,
    list_files,
)
from cxr.data.sources.files import file_mark, require_below, require_folder
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.data.sources.vocabulary import parse_age, parse_finding, parse_sex
from cxr.errors import BadInput
from cxr.tables import is_missing_value

TAGS = ["PatientID", "PatientName", "PatientSex", "PatientAge", "ViewPosition"]
HAS_PICTURE = "Rows"  # no presentation state, structured report, plan or DICOMDIR has it
VIEWS = ("AP", "PA", "LL", "RL", "LATERAL", "LLD", "RLD", "LLO", "RLO", "LPO", "RPO")
MAX_AGE = 90  # HIPAA's Safe Harbor counts every age above 89 among what identifies
NO_PATIENT = ""


@dataclass(frozen=True)
class Header:
    """The fields kept of a file's header while the tree is read."""

    patient: str = NO_PATIENT  # sha256 of the id; leaves the reader as a number only
    view: str | None = None
    sex: str | None = None
    age: int | None = None
    named_after: bool = False  # a folder's name holds the patient's name or id
    pictured: bool = True  # there is a picture in it, or it may be damaged


def dicom_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """One row for each file with a picture, in order of paths; the finding is the first folder's name below the place.

    Headers are read first, as patients are numbered in the order of their ids' hashes: a hash itself could be turned
    back by trying ids. DICOM files without pictures, files of other kinds, and folders of masks and the like are passed
    over and counted.

    Raises:
        BadInput: no pydicom, no such files, a link that leads outside, a folder that cannot be read, is no
            finding or is named after a patient.
    """
    require_pydicom()
    root = require_folder(place).resolve()
    skipped = SkippedFiles()
    try:
        paths = sorted(list_files(root, skipped))
    except BadInput:  # names a folder, which may bear a person's name
        raise BadInput(f"{root}: a folder inside cannot be read; mend the rights of all, or move it away") from None
    found, others = _read_headers(paths, root)
    count_skipped(others, skipped)
    for line in skipped.lines(names=False):
        options.notes(line)
    if without := sum(not header.pictured for _, header in found):
        options.notes(
            f"passed over {without:,} DICOM files that hold no picture (reports, presentation states, indexes)"
        )
    found = [(path, header) for path, header in found if header.pictured]
    if not found:
        contents = "holds no DICOM files with pictures" if paths else "holds no files"
        are_pictures = any(path.suffix.casefold() in PICTURE_SUFFIXES for path in others)
        hint = f"; did you mean folder:{root}?" if are_pictures else ""
        raise BadInput(f"{root}: {contents}; give a folder of DICOM files, with one folder a finding{hint}")
    headers = [header for _, header in found]
    patients = {p: f"dicom-{n:06d}" for n, p in enumerate(sorted({h.patient for h in headers} - {NO_PATIENT}), 1)}
    for number, (path, header) in enumerate(found, 1):
        yield SourceRow(
            name=_file_label(number),
            load=partial(load_dicom, path),
            labels=Labels.only(parse_finding(_first_folder(path, root))),
            patient_id=patients.get(header.patient),
            view=header.view,
            sex=header.sex,
            age=header.age,
            source="DICOM",
            mark=file_mark(path),
        )


def _read_headers(paths: list[Path], root: Path) -> tuple[list[tuple[Path, Header]], list[Path]]:
    """The DICOM files with their headers, and the files of other kinds. A file named .dcm counts as the first."""
    found, others = [], []
    for path in paths:
        header = None if path.suffix.casefold() in OTHER_SUFFIXES else read_header(path, root)
        if header is None and (path.suffix.casefold() in OTHER_SUFFIXES or _is_other_kind(path)):
            others.append(path)
            continue
        header = header or Header()
        found.append((path, replace(header, pictured=header.pictured and path.name.upper() != "DICOMDIR")))
        if found[-1][1].pictured:
            _check_location(path, root, found[-1][1], len(found))
    return found, others


def _is_other_kind(path: Path) -> bool:
    """Whether a file that is no DICOM file was hardly meant to be one: a picture by its suffix, or text inside."""
    suffix = path.suffix.casefold()
    if suffix in DICOM_SUFFIXES:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError:
        return False  # it will be refused with the reason
    return suffix in PICTURE_SUFFIXES or b"\0" not in head


def _file_label(number: int) -> str:
    return f"dicom-file-{number:06d}"


def _first_folder(path: Path, root: Path) -> str:
    """The first folder's name below the place; nothing for files that lie in the place itself."""
    parts = path.relative_to(root).parts
    return parts[0] if len(parts) > 1 else ""


def _check_location(path: Path, root: Path, header: Header, number: int) -> None:
    """Messages name no folder: it may bear a person's name."""
    if path.is_symlink():
        require_below(path, root, _file_label(number))
    try:
        parse_finding(_first_folder(path, root))
        wrong = "is named after its patient" if header.named_after else ""
    except BadInput:
        wrong = "has a name that no finding can have"
    if wrong:
        raise BadInput(
            f"{root}: the first folder of file {number} in order of paths {wrong}; name the folders by findings: "
            "letters, digits, '_', '-' and blanks"
        )


def read_header(path: Path, root: Path | None = None) -> Header | None:
    """The header without identifying fields; None for a file that is no DICOM file. Below a root, folders are compared
    with the patient's name."""
    try:
        with warnings.catch_warnings(action="ignore"):
            header = read_dataset(path, stop_before_pixels=True, specific_tags=[*TAGS, HAS_PICTURE, "SOPClassUID"])
            patient, name, sex, age, view = (_text_of(header.get(tag)) for tag in TAGS)
            pictured = HAS_PICTURE in header or _holds_pixels(path)
    except RejectedImage:
        return None
    except Exception:  # of damaged files pydicom raises whatever it stumbles on
        return Header()
    return Header(
        patient=hashlib.sha256(patient.encode()).hexdigest() if patient else NO_PATIENT,
        view=view.upper() if view.upper() in VIEWS else None,
        sex=parse_sex(sex),
        age=None if (years := parse_age(age)) is None else min(years, MAX_AGE),
        pictured=pictured,
        named_after=root is not None
        and _is_named_after(_first_folder(path, root), [patient, *name.replace("=", "^").split("^")]),
    )


def _holds_pixels(path: Path) -> bool:
    """Whether there are pixels although the header does not describe them: such a file is damaged."""
    return "PixelData" in read_dataset(path, specific_tags=["PixelData", "SOPClassUID", "PatientID"])


def _text_of(value: object) -> str:
    text = str(value or "").strip()
    return "" if is_missing_value(text) else text


def _is_named_after(folder: str, words: list[str]) -> bool:
    folded, *others = ("".join(filter(str.isalnum, word.casefold())) for word in (folder, *words))
    return any(len(word) > 3 and word in folded for word in others)
