"""A tree of DICOM files. What can identify a person stays in the reader.

Only these leave it: the pixels, the view (of a fixed list), sex, age up to 89 (90 stands for all above) and a number
for each patient. Files are numbered too, because names of files often hold names of people. Pictures that declare
burned-in annotation are refused; whether others hold any, only looking at them tells.
"""

import hashlib
import importlib.util
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxr.data.images import MAX_PIXELS, Missing, Rejected
from cxr.data.sources.files import MAX_BYTES, files_below, mark_of, require_below, require_folder
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.data.sources.words import age_of, finding_of, sex_of
from cxr.errors import BadInput

if TYPE_CHECKING:
    from pydicom import Dataset

TAGS = ["PatientID", "PatientName", "PatientSex", "PatientAge", "ViewPosition"]
VIEWS = ("AP", "PA", "LL", "RL", "LATERAL", "LLD", "RLD", "LLO", "RLO", "LPO", "RPO")
OLDEST = 90  # HIPAA's Safe Harbor counts every age above 89 among what identifies
NO_PATIENT = ""


@dataclass(frozen=True)
class _Header:
    """What is kept of a file's header while the tree is read."""

    patient: str = NO_PATIENT  # sha256 of the id; leaves the reader as a number only
    view: str | None = None
    sex: str | None = None
    age: int | None = None
    named_after: bool = False  # a folder's name holds the patient's name or id


def dicom_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """One row for each file, in order of paths; the finding is the first folder's name below the place.

    Headers are read first, as patients are numbered in the order of their ids' hashes: a hash itself could be turned
    back by trying ids.

    Raises:
        BadInput: no pydicom, no files, a link that leads outside, a folder that cannot be read, is no
            finding or is named after a patient.
    """
    if importlib.util.find_spec("pydicom") is None:
        raise BadInput("dicom: pydicom, which reads these files, is not installed; pip install pydicom")
    root = require_folder(place).resolve()
    try:
        paths = [path for path in files_below(root) if path.name != "DICOMDIR"]
    except BadInput:  # names a folder, which may bear a person's name
        raise BadInput(f"{root}: a folder inside cannot be read; mend the rights of all, or move it away") from None
    if not paths:
        raise BadInput(f"{root}: holds no files; give a folder of DICOM files, with one folder a finding")
    headers = []
    for number, path in enumerate(paths, 1):
        headers.append(_header(path, root))
        _check_place(path, root, headers[-1], number)
    patients = {p: f"dicom-{n:06d}" for n, p in enumerate(sorted({h.patient for h in headers} - {NO_PATIENT}), 1)}
    for number, (path, header) in enumerate(zip(paths, headers, strict=True), 1):
        yield SourceRow(
            name=_name(number),
            load=partial(load_dicom, path),
            finding=finding_of(_folder(path, root)),
            patient_id=patients.get(header.patient),
            view=header.view,
            sex=header.sex,
            age=header.age,
            source="DICOM",
            mark=mark_of(path),
        )


def _name(number: int) -> str:
    return f"dicom-file-{number:06d}"


def _folder(path: Path, root: Path) -> str:
    """The first folder's name below the place; nothing for files that lie in the place itself."""
    parts = path.relative_to(root).parts
    return parts[0] if len(parts) > 1 else ""


def _check_place(path: Path, root: Path, header: _Header, number: int) -> None:
    """Messages name no folder: it may bear a person's name."""
    if path.is_symlink():
        require_below(path, root, _name(number))
    try:
        finding_of(_folder(path, root))
        wrong = "is named after its patient" if header.named_after else ""
    except BadInput:
        wrong = "has a name that no finding can have"
    if wrong:
        raise BadInput(
            f"{root}: the first folder of file {number} in order of paths {wrong}; name the folders by findings: "
            "letters, digits, '_', '-' and blanks"
        )


def _header(path: Path, root: Path) -> _Header:
    """What may be known of a file; nothing of one that is no DICOM file, which is refused when it is loaded."""
    import pydicom

    try:
        with warnings.catch_warnings(action="ignore"):
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
            patient, name, sex, age, view = (str(header.get(tag) or "").strip() for tag in TAGS)
    except Exception:  # of damaged files pydicom raises whatever it stumbles on
        return _Header()
    return _Header(
        patient=hashlib.sha256(patient.encode()).hexdigest() if patient else NO_PATIENT,
        view=view.upper() if view.upper() in VIEWS else None,
        sex=sex_of(sex),
        age=None if (years := age_of(age)) is None else min(years, OLDEST),
        named_after=_is_named_after(_folder(path, root), [patient, *name.replace("=", "^").split("^")]),
    )


def _is_named_after(folder: str, words: list[str]) -> bool:
    folded, *others = ("".join(filter(str.isalnum, word.casefold())) for word in (folder, *words))
    return any(len(word) > 3 and word in folded for word in others)


def load_dicom(path: Path) -> np.ndarray:
    """The picture as a screen shows it: modality LUT, first VOI window or LUT, MONOCHROME1 inverted.

    Returns:
        [H, W], 0 black: uint8, 255 white as window or VOI LUT have it (the one door would stretch more bits, and undo
        them); uint16, 65535 white, where there is neither.

    Raises:
        Rejected: no such picture, or one that should not be shown. The reason quotes nothing from the file.
    """
    import pydicom

    try:
        if path.stat().st_size > MAX_BYTES:
            raise Rejected(f"more than {MAX_BYTES >> 20} MiB")
        with warnings.catch_warnings(action="ignore"):
            image = pydicom.dcmread(path)
            _refuse(image)
            return _shown(image)
    except pydicom.errors.InvalidDicomError:
        raise Rejected("not a DICOM file") from None
    except FileNotFoundError:
        raise Missing("no such file") from None
    except Rejected:
        raise
    except Exception as error:  # of damaged files pydicom raises whatever it stumbles on
        raise Rejected(f"damaged or unusual DICOM ({type(error).__name__})") from None


def _refuse(image: "Dataset") -> None:
    """Raises for what is no single gray picture, cannot be decoded here, or shows text about the patient."""
    if "PixelData" not in image:
        raise Rejected("DICOM without pixels")
    if str(image.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        raise Rejected("declares burned-in annotation, which may name the patient")
    if int(image.get("NumberOfFrames") or 1) != 1:
        raise Rejected("several frames")
    if image.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2") or image.SamplesPerPixel != 1:
        raise Rejected("not a gray DICOM (MONOCHROME1 or MONOCHROME2)")
    if image.Rows * image.Columns > MAX_PIXELS:
        raise Rejected(f"more than {MAX_PIXELS:,} pixels")
    if image.HighBit != image.BitsStored - 1:
        raise Rejected("its HighBit is not BitsStored - 1, as the standard has it")
    _require_decoder(image)


def _require_decoder(image: "Dataset") -> None:
    from pydicom.pixels import get_decoder

    syntax = image.file_meta.TransferSyntaxUID
    try:
        ready = get_decoder(syntax).is_available
    except NotImplementedError:
        ready = False
    if not ready:
        known = syntax.name if syntax.is_transfer_syntax else "a private transfer syntax"
        raise Rejected(f"no decoder for {known} is installed")


def _shown(image: "Dataset") -> np.ndarray:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    values = apply_voi_lut(apply_modality_lut(image.pixel_array, image), image).astype(np.float64)
    ends = _ends(image)
    low, high = ends or (values.min(), values.max())
    shades = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    if image.PhotometricInterpretation == "MONOCHROME1":
        shades = 1 - shades
    return np.round(shades * 255).astype(np.uint8) if ends else np.round(shades * 65535).astype(np.uint16)


def _ends(image: "Dataset") -> tuple[float, float] | None:
    """Black and white: what the VOI LUT or window gives at most; None where there is neither."""
    from pydicom.pixels import apply_voi_lut

    if tables := image.get("VOILUTSequence"):
        return 0.0, 2.0 ** tables[0].LUTDescriptor[2] - 1
    if image.get("WindowCenter") is None or image.get("WindowWidth") is None:
        return None
    low, high = apply_voi_lut(np.array([-(2.0**30), 2.0**30]), image)
    return float(low), float(high)
