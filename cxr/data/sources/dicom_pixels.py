"""The picture in a DICOM file as a screen shows it: decoded, without padding, in the shades its file asks for."""

import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from cxr.data.images import MAX_PIXELS, MissingImage, RejectedImage
from cxr.data.sources.file_kinds import DICOM_SUFFIXES
from cxr.data.sources.files import MAX_BYTES, read_file
from cxr.data.sources.row import Pixels
from cxr.errors import BadInput

if TYPE_CHECKING:
    from pydicom import Dataset

_T = TypeVar("_T")

GRAY_INTERPRETATIONS = ("MONOCHROME1", "MONOCHROME2")
REQUIRED_TAGS = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
# Share of a picture's pixels that a window of use leaves between black and white; the second where even the window's
# centre is beyond the picture's values.
MIN_INSIDE, MIN_INSIDE_OFF_CENTRE = 0.01, 0.5
BLACK, WHITE = 0.02, 0.98  # shades beyond which count as the one and the other


def read_picture(file: Path | str) -> Pixels:
    """A file of any format: the bytes of a picture, or the pixels of a DICOM file. Raises as `load_dicom`."""
    path = Path(file)
    data = read_file(path)
    return load_dicom(path) if data[128:132] == b"DICM" or path.suffix.casefold() in DICOM_SUFFIXES else data


def load_dicom(path: Path) -> np.ndarray:
    """The picture as a screen shows it: modality LUT, first VOI window or LUT of use, MONOCHROME1 inverted.

    Padding that the file declares is black and no part of the range. A rescale, window or LUT that is damaged, of no
    width or of another range than the pixels is passed over: the next is taken, or the picture's own range.

    Returns:
        [H, W], 0 black: uint8, 255 white as window or VOI LUT have it (the image loader would stretch more bits, and
        undo them); uint16, 65535 white, where there is neither.

    Raises:
        RejectedImage: no such picture, or one that should not be shown. The reason quotes nothing from the file.
    """
    if not is_pydicom_installed():
        raise RejectedImage("DICOM, for which pydicom is not installed; pip install pydicom python-gdcm")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RejectedImage(f"more than {MAX_BYTES >> 20} MiB")
        with warnings.catch_warnings(action="ignore"):
            image = read_dataset(path)
            _reject_unusable(image)
            return _render(image, _decode_values(image))
    except FileNotFoundError:
        raise MissingImage("no such file") from None
    except RejectedImage:
        raise
    except Exception as error:  # of damaged files pydicom raises whatever it stumbles on
        raise RejectedImage(f"damaged or unusual DICOM ({type(error).__name__})") from None


def is_pydicom_installed() -> bool:
    return importlib.util.find_spec("pydicom") is not None


def require_pydicom() -> None:
    if not is_pydicom_installed():
        raise BadInput("dicom: pydicom, which reads these files, is not installed; pip install pydicom python-gdcm")


def read_dataset(path: Path, **how: Any) -> "Dataset":
    """The file's data set, with or without the preamble and header that a DICOM file should begin with.

    Args:
        how: as for `pydicom.dcmread`.

    Raises:
        RejectedImage: not a DICOM file.
    """
    import pydicom

    try:
        return pydicom.dcmread(path, **how)
    except pydicom.errors.InvalidDicomError:
        pass
    try:
        image = pydicom.dcmread(path, force=True, **how)
        elements = set(image.keys())
    except Exception:  # whatever bytes that mean something else lead to
        elements = set()
    # A group of the patient's or the picture's; two, since any bytes can look like one.
    if sum(tag.group in (0x0008, 0x0010, 0x0018, 0x0020, 0x0028) for tag in elements) < 2:
        raise RejectedImage("not a DICOM file")
    return image


def _reject_unusable(image: "Dataset") -> None:
    """Raises for what is no single gray picture, cannot be decoded here, or shows text about the patient."""
    if "PixelData" not in image:
        raise RejectedImage("DICOM without pixels")
    if str(image.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        raise RejectedImage("declares burned-in annotation, which may name the patient")
    for keyword in REQUIRED_TAGS:
        if image.get(keyword) in (None, ""):
            raise RejectedImage(f"DICOM without {keyword}, which says how its pixels are stored")
    frames = str(image.get("NumberOfFrames") or 1).strip()
    if frames != "1":
        raise RejectedImage("several frames" if frames.isdecimal() else "DICOM whose NumberOfFrames is no number")
    if image.PhotometricInterpretation not in GRAY_INTERPRETATIONS or image.SamplesPerPixel != 1:
        raise RejectedImage("not a gray DICOM (MONOCHROME1 or MONOCHROME2)")
    if image.Rows * image.Columns > MAX_PIXELS:
        raise RejectedImage(f"more than {MAX_PIXELS:,} pixels")
    if image.HighBit != image.BitsStored - 1:
        raise RejectedImage("its HighBit is not BitsStored - 1, as the standard has it")
    _set_transfer_syntax(image)
    _require_decoder(image)
    bits = image.Rows * image.Columns * image.BitsAllocated
    if not image.file_meta.TransferSyntaxUID.is_compressed and 8 * len(image.PixelData) < bits:
        raise RejectedImage("truncated DICOM: fewer pixels than it states")


def _set_transfer_syntax(image: "Dataset") -> None:
    """Sets the transfer syntax that a file without header does not name: what its elements are written in."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if getattr(image, "file_meta", None) is None:
        image.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" in image.file_meta:
        return
    if image["PixelData"].is_undefined_length:
        raise RejectedImage("compressed DICOM that does not name its transfer syntax")
    implicit, little = image.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _require_decoder(image: "Dataset") -> None:
    from pydicom.pixels import get_decoder

    syntax = image.file_meta.TransferSyntaxUID
    try:
        ready = get_decoder(syntax).is_available
    except NotImplementedError:
        ready = False
    if not ready:
        known = syntax.name if syntax.is_transfer_syntax else "a private transfer syntax"
        raise RejectedImage(f"no decoder for {known} is installed; pip install python-gdcm")


def _decode_values(image: "Dataset") -> np.ndarray:
    """The stored values, [Rows, Columns]."""
    from pydicom.uid import JPEGExtended12Bit

    syntax = image.file_meta.TransferSyntaxUID
    with _silence_gdcm():
        if syntax == JPEGExtended12Bit and image.BitsStored > 8 and (values := _decode_with_gdcm(image)) is not None:
            return values
        try:
            return image.pixel_array
        except RuntimeError:  # pydicom's, of all decoders that tried
            if not syntax.is_compressed:
                raise
            raise RejectedImage(
                f"damaged pixels, or beyond pillow and gdcm, which decode here ({syntax.name})"
            ) from None


def _silence_gdcm() -> warnings.catch_warnings:
    """Keeps GDCM from printing what it finds wrong; the reason is raised once, as `RejectedImage`."""
    try:
        import gdcm
    except ImportError:
        return warnings.catch_warnings(action="ignore")
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    return warnings.catch_warnings(action="ignore")


def _decode_with_gdcm(image: "Dataset") -> np.ndarray | None:
    """JPEG of 12 bits, which GDCM decodes although pydicom does not ask it to; None where it cannot."""
    try:
        import gdcm
    except ImportError:
        return None
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        image.save_as(file.name, enforce_file_format=True)
        reader = gdcm.ImageReader()
        reader.SetFileName(file.name)
        if not reader.Read():
            return None
        try:  # its text is bytes
            data = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
        except (AttributeError, UnicodeError):
            return None
    values = np.frombuffer(data, "<i2" if image.PixelRepresentation else "<u2")
    return values.reshape(image.Rows, image.Columns) if values.size == image.Rows * image.Columns else None


def _render(image: "Dataset", stored: np.ndarray) -> np.ndarray:
    picture = ~_padding_mask(image, stored)
    if not picture.any():
        picture[:] = True
    for shades in _apply_windows(image, stored):
        if _is_useful_window(shades[picture]):
            return np.round(_orient_shades(image, picture, shades) * 255).astype(np.uint8)
    values = next(_candidate_values(image, stored))
    low, high = values[picture].min(), values[picture].max()
    shades = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    return np.round(_orient_shades(image, picture, shades) * 65535).astype(np.uint16)


def _orient_shades(image: "Dataset", picture: np.ndarray, shades: np.ndarray) -> np.ndarray:
    """0 black to 1 white; padding is black, as around a picture on a screen."""
    return np.where(picture, 1 - shades if image.PhotometricInterpretation == "MONOCHROME1" else shades, 0)


def _padding_mask(image: "Dataset", stored: np.ndarray) -> np.ndarray:
    """Which pixels the file declares to be none (PS3.3, C.7.5.1.1.2): of a value, or a range with both its ends."""
    ends = []
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = image.get(keyword)
        if isinstance(value, int):  # written unsigned by some where pixels are signed
            ends.append(
                int(np.array(value % (1 << 8 * stored.itemsize)).astype(f"u{stored.itemsize}").view(stored.dtype))
            )
    if not ends or image.get("PixelPaddingValue") is None:
        return np.zeros(stored.shape, bool)
    return (stored >= min(ends)) & (stored <= max(ends))


def _candidate_values(image: "Dataset", stored: np.ndarray) -> Iterator[np.ndarray]:
    """What windows may be meant for, float64: the values after the modality's rescale or LUT, then those stored."""
    from pydicom.pixels import apply_modality_lut

    if "ModalityLUTSequence" in image or "RescaleSlope" in image:
        rescaled = _try(lambda: apply_modality_lut(stored, image).astype(np.float64))
        if rescaled is not None and np.isfinite(rescaled).all() and rescaled.min() < rescaled.max():
            yield rescaled
    yield stored.astype(np.float64)


def _apply_windows(image: "Dataset", stored: np.ndarray) -> Iterator[np.ndarray]:
    """The shades, 0 to 1, of each VOI LUT and window of the file in its order, as far as they can be applied."""
    from pydicom.pixels import apply_voi

    tables = image.get("VOILUTSequence") or ()
    centers, widths = _parse_numbers(image.get("WindowCenter")), _parse_numbers(image.get("WindowWidth"))
    kind = str(image.get("VOILUTFunction") or "").strip().upper()
    for values in _candidate_values(image, stored):
        for number, table in enumerate(tables):
            whole, white = np.rint(values).astype(np.int64), _try(lambda t: 2 ** int(t.LUTDescriptor[2]) - 1, table)
            shown = _try(apply_voi, whole, image, number)
            if shown is not None and white:
                yield np.clip(shown / white, 0, 1)
        for center, width in zip(centers, widths, strict=False):
            if (shades := _apply_window(values, center, width, kind)) is not None:
                yield shades


def _apply_window(values: np.ndarray, center: float, width: float, kind: str) -> np.ndarray | None:
    """PS3.3, C.11.2.1.2 and C.11.2.1.3; None for a window of no width."""
    if not (np.isfinite([center, width]).all() and width > 0):
        return None
    if kind == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    if kind == "LINEAR_EXACT" or width <= 1:
        return np.clip((values - center) / width + 0.5, 0, 1)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _parse_numbers(value: Any) -> list[float]:
    """Of one number, several or none; NaN for what is none."""
    several = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    found = (_try(float, one) for one in several if one not in (None, ""))
    return [float("nan") if number is None else number for number in found]


def _try(work: Callable[..., _T], *of: Any) -> _T | None:
    """The call's result; None where the file's elements for it are damaged or missing, whatever pydicom raises."""
    try:
        return work(*of)
    except Exception:
        return None


def _is_useful_window(shades: np.ndarray) -> bool:
    """Whether a window leaves a picture: one for another range than the pixels' makes nearly all black or white."""
    inside = float(np.mean((shades > BLACK) & (shades < WHITE)))
    off_centre = not shades.min() <= 0.5 <= shades.max()
    return shades.min() < shades.max() and inside >= (MIN_INSIDE_OFF_CENTRE if off_centre else MIN_INSIDE)
