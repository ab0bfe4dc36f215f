"""Pictures in arrays: MedMNIST's .npz and MNIST's IDX files, read one picture at a time."""

import gzip
import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import IO

import numpy as np

from cxr.data.labels import Labels
from cxr.data.sources.files import require_folder
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.data.sources.vocabulary import SPLIT_NAMES
from cxr.errors import BadInput

CLASS_NAMES = {"pneumoniamnist": ("normal", "pneumonia")}
LICENCES = {"pneumoniamnist": "CC BY 4.0"}
MAX_SIDE = 4096  # pixels along a side


def npz_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """Every picture of a MedMNIST file: arrays train_images, train_labels, val_... and test_..., gray or RGB.

    Labels are normal and pneumonia in pneumoniamnist files and class_0, class_1, ... in others.

    Raises:
        BadInput: no such file, arrays that do not fit together or are no pictures, several labels a picture.
    """
    path = Path(place).expanduser()
    known = path.stem.split("_")[0]
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            parts = [part for part in ("train", "val", "test") if f"{part}_images" in names]
            if not parts:
                raise BadInput(f"{path}: holds no train_images, val_images or test_images; give a MedMNIST file")
            labels, mark = {part: _read_labels(path, part) for part in parts}, _content_mark(path)
            for part in parts:
                with archive.open(f"{part}_images.npy") as file:
                    yield from _part_rows(_iterate_images(file, len(labels[part])), labels[part], part, known, mark)
    except BadInput:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        missing = isinstance(error, FileNotFoundError)
        why = "no such file" if missing else " ".join(str(error).split())[:200]
        raise BadInput(f"{path}: not a readable MedMNIST file: {why}") from None


def _read_labels(path: Path, part: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        labels = arrays[f"{part}_labels"]
    if labels.ndim == 2 and labels.shape[1] != 1:
        raise ValueError(f"{part}_labels has {labels.shape[1]} labels a picture; one is read")
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "iu":
        raise ValueError(f"{part}_labels is {labels.dtype} {labels.shape}, not whole numbers")
    return labels.ravel()


def _iterate_images(file: IO[bytes], count: int) -> Iterator[np.ndarray]:
    """The pictures of an .npy file, [count, H, W] or [count, H, W, 3], uint8 or uint16."""
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, kind = read_header(file)
    is_picture = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
    if not is_picture or by_columns or kind not in (np.uint8, np.uint16) or max(shape[1:]) > MAX_SIDE:
        raise ValueError(f"the pictures are {kind} {shape}, not uint8 or uint16 [N, H, W] or [N, H, W, 3]")
    if shape[0] != count:
        raise ValueError(f"{shape[0]} pictures have {count} labels")
    size = int(np.prod(shape[1:])) * kind.itemsize
    for _ in range(count):
        data = file.read(size)
        if len(data) < size:
            raise EOFError("it ends before its last picture")
        yield np.frombuffer(data, kind).reshape(shape[1:])


def _part_rows(
    pictures: Iterator[np.ndarray], labels: np.ndarray, part: str, known: str, mark: str
) -> Iterator[SourceRow]:
    names = CLASS_NAMES.get(known, ())
    for number, (pixels, label) in enumerate(zip(pictures, labels.tolist(), strict=True)):
        yield SourceRow(
            name=f"{part}/{number:06d}",
            load=partial(np.asarray, pixels),
            labels=Labels.only(names[label] if 0 <= label < len(names) else f"class_{label}"),
            split=SPLIT_NAMES[part],
            source=f"MedMNIST {known}" if known in CLASS_NAMES else "npz",
            licence=LICENCES.get(known, "unstated"),
            mark=mark,
        )


def idx_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """Every picture of MNIST's four IDX files, plain or .gz; findings digit_0 to digit_9.

    Raises:
        BadInput: files are missing, damaged or do not fit together.
    """
    folder = require_folder(place)
    files = [
        (split, images, _find_labels(images, part))
        for part, split in (("train", "train"), ("t10k", "test"))
        if (images := _find_file(folder, part, "images"))
    ]
    if not files:
        raise BadInput(f"{folder}: holds no train-images-idx3-ubyte(.gz); give the folder of the MNIST files")
    for split, images, labels in files:
        mark = _content_mark(images)
        with _open_idx(images) as file, _open_idx(labels) as label_file:
            count, height, width = struct.unpack(">4xIII", file.read(16))
            label_file.read(8)
            for number in range(count):
                yield SourceRow(
                    name=f"{split}/{number:06d}",
                    load=partial(np.asarray, np.frombuffer(file.read(height * width), np.uint8).reshape(height, width)),
                    labels=Labels.only(f"digit_{label_file.read(1)[0]}"),
                    split=split,
                    source="MNIST (IDX files)",
                    mark=mark,
                )


def _find_file(folder: Path, part: str, what: str) -> Path | None:
    stem = f"{part}-{what}-idx{3 if what == 'images' else 1}-ubyte"
    return next((path for path in (folder / f"{stem}.gz", folder / stem) if path.is_file()), None)


def _open_idx(path: Path) -> BufferedIOBase:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _content_mark(path: Path) -> str:
    """A digest of the unpacked file, the `mark` of all its pictures."""
    with _open_idx(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _find_labels(images: Path, part: str) -> Path:
    """Reads both files of a part once: sizes as the headers say, and as many labels as pictures."""
    labels = _find_file(images.parent, part, "labels")
    if labels is None:
        raise BadInput(f"{images.parent}: {images.name} has no {part}-labels-idx1-ubyte(.gz) beside it; add that file")
    pictures, label_count = _count_items(images, 3), _count_items(labels, 1)
    if pictures != label_count:
        raise BadInput(f"{images}: {pictures} pictures have {label_count} labels; get both files again")
    return labels


def _count_items(path: Path, dimensions: int) -> int:
    """The number of items; `BadInput` unless the file is unsigned bytes, as many as its header states."""
    try:
        with _open_idx(path) as file:
            kind, *shape = struct.unpack(f">I{dimensions}I", file.read(4 + 4 * dimensions))
            if kind != 0x800 + dimensions or max(shape[1:], default=1) > MAX_SIDE or 0 in shape:
                raise ValueError("its header is not that of such a file")
            size, stated = 0, int(np.prod(shape, dtype=object))
            while size <= stated and (chunk := file.read(1 << 20)):
                size += len(chunk)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        why = str(error) if type(error) is ValueError else "damaged"
        raise BadInput(f"{path}: not an IDX file: {why}; get it again") from None
    if size != stated:
        raise BadInput(
            f"{path}: holds {'more' if size > stated else 'fewer'} bytes than its header states; get it again"
        )
    return shape[0]
