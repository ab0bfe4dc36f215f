"""A thousand mutated inputs of each kind: read, or refused in one line; no other error, no label that was not there."""

import io
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from cxr.data.images import RejectedImage, read_gray
from cxr.data.sources.dicom import dicom_rows
from cxr.data.sources.dicom_pixels import load_dicom
from cxr.data.sources.row import SourceOptions
from cxr.data.sources.table import table_rows
from cxr.errors import BadInput

COUNT = 1000
DICOM = (
    "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "JPGExtended.dcm", "CT_small.dcm", "rtdose_rle_1frame.dcm",
)  # fmt: skip


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Flipped bits, anywhere or at the beginning, a cut end, bytes put in or taken out, two runs swapped."""
    at, other = sorted(dice.randrange(len(data)) for _ in range(2))
    kind = dice.randrange(6)
    if kind < 2:
        flipped = bytearray(data)
        for _ in range(dice.choice((1, 2, 8, 40))):
            flipped[dice.randrange(len(data) if kind else min(len(data), 1500))] ^= 1 << dice.randrange(8)
        return bytes(flipped)
    return (
        data[:at],
        data[:at] + dice.randbytes(dice.randrange(1, 40)) + data[at:],
        data[:at] + data[other:],
        data[:at] + data[other : other + 30] + data[at:other] + data[other + 30 :],
    )[kind - 2]


def outcomes(bases: Sequence[bytes], read: Callable[[bytes], object], told: type[Exception]) -> Counter[str]:
    """How many were read and how many refused in a printable line; whatever else is raised fails the test."""
    dice, found = random.Random(0), Counter()
    for number in range(COUNT):
        try:
            read(mutated(bases[number % len(bases)], dice))
        except told as reason:
            assert str(reason) and str(reason).isprintable()
            found["refused"] += 1
        else:
            found["read"] += 1
    assert min(found["read"], found["refused"]) > COUNT // 20, found
    return found


@pytest.mark.slow
def test_mutated_dicom_files(tmp_path: Path):
    bases = [Path(get_testdata_file(name, download=False)).read_bytes() for name in DICOM]
    file = tmp_path / "mass" / "a.dcm"
    file.parent.mkdir()

    def read(data: bytes) -> None:
        file.write_bytes(data)
        try:
            (row,) = dicom_rows(str(tmp_path), SourceOptions(notes=lambda line: None))
        except BadInput as none:
            raise RejectedImage(str(none)) from None
        assert row.finding == "mass"
        pixels = read_gray(load_dicom(file))
        assert pixels.dtype == np.uint8 and pixels.min() < pixels.max()

    outcomes(bases, read, RejectedImage)


def pictures() -> list[bytes]:
    ramp = (np.mgrid[0:32, 0:40].sum(axis=0) * 3).astype(np.uint8)
    files = []
    for kind, mode in (("PNG", "L"), ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK")):
        file = io.BytesIO()
        exif = Image.Exif()
        exif[0x112] = 6
        Image.fromarray(ramp).convert(mode).save(file, kind, **({} if mode == "CMYK" else {"exif": exif}))
        files.append(file.getvalue())
    return files


@pytest.mark.slow
def test_mutated_pictures():
    def read(data: bytes) -> None:
        pixels = read_gray(data)
        assert pixels.dtype == np.uint8 and pixels.min() < pixels.max()

    outcomes(pictures(), read, RejectedImage)


ROWS = [(f"images/{n:03d}.png", ("normal", "mass", "edema")[n % 3], f"p{n}", "Clear lungs.", 40 + n) for n in range(12)]
HEADER = ("file", "finding", "patient_id", "text", "age")


def tables() -> list[tuple[str, bytes]]:
    lines = [HEADER, *ROWS]
    csv = "\n".join(",".join(map(str, line)) for line in lines) + "\n"
    jsonl = "".join(repr(dict(zip(HEADER, row, strict=True))).replace("'", '"') + "\n" for row in ROWS)
    return [
        (".csv", csv.encode()),
        (".csv", csv.replace("\n", "\r\n").encode("utf-8-sig")),
        (".csv", f"sep=;\n{csv.replace(',', ';')}".encode()),
        (".tsv", csv.replace(",", "\t").encode()),
        (".jsonl", jsonl.encode()),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_mutated_tables(tmp_path: Path, number: int):
    suffix, base = tables()[number]
    for name, *_ in ROWS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    known = {name: finding for name, finding, *_ in ROWS}
    silently_other = 0

    def read(data: bytes) -> None:
        nonlocal silently_other
        path = tmp_path / f"t{suffix}"
        path.write_bytes(data)
        found = list(table_rows(str(path), SourceOptions(notes=lambda line: None)))
        # A label that is one of the three and not the file's own came from a row that was torn and joined.
        silently_other += sum(
            row.finding in known.values() and known.get(row.name, row.finding) != row.finding for row in found
        )

    outcomes([base], read, BadInput)
    # Runs of bytes that are taken out between two commas can join one row's file with another's finding: no reader
    # can tell. Nothing else does.
    assert silently_other <= COUNT // 50
