"""PNG files: lossless, 8-bit gray, marked as generated, readable by the libraries of the field."""

import contextlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from cxr.data.images import GENERATED_XMP, XMP_KEYWORD, decode_gray, encode_png
from cxr.errors import BadInput

pictures = npst.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)))
printable = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=200)


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """(type, body) of each chunk; checks lengths and checksums on the way."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        found.append((kind, body))
        at += 12 + length
    return found


@settings(deadline=None)
@given(pictures, printable)
def test_any_picture_comes_back_unchanged(pixels: np.ndarray, text: str) -> None:
    png = encode_png(pixels, {"cxr": text})
    shown = Image.open(io.BytesIO(png))
    assert shown.mode == "L"
    np.testing.assert_array_equal(np.asarray(shown), pixels)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), pixels)
    np.testing.assert_array_equal(decode_gray(png, "x"), pixels)
    assert shown.text["cxr"] == text


@settings(deadline=None)
@given(pictures)
def test_chunks_are_valid_and_in_order(pixels: np.ndarray) -> None:
    kinds = [kind for kind, _ in chunks(encode_png(pixels, {"cxr": "a", XMP_KEYWORD: GENERATED_XMP}))]
    assert kinds[:3] == [b"IHDR", b"iTXt", b"iTXt"]
    assert kinds[-1] == b"IEND" and kinds.count(b"IEND") == 1


def test_generated_pictures_carry_the_iptc_mark() -> None:
    png = encode_png(np.zeros((4, 4), np.uint8), {XMP_KEYWORD: GENERATED_XMP})
    shown = Image.open(io.BytesIO(png))
    assert "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia" in shown.text[XMP_KEYWORD]
    assert "DigitalSourceType" in shown.text[XMP_KEYWORD]


def test_the_same_picture_gives_the_same_bytes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    assert encode_png(pixels, {"cxr": "a"}) == encode_png(pixels.copy(), {"cxr": "a"})


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4), np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype}-{pixels.shape}",
)
def test_what_is_no_8_bit_gray_picture_is_not_encoded(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not an 8-bit gray picture"):
        encode_png(pixels)


def huge() -> bytes:
    """A well-formed PNG header of 200,000 x 200,000 pixels with next to no data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 200_000, 200_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


WHOLE = encode_png(np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8))


@pytest.mark.parametrize(
    "data",
    [b"", b"rubbish", b"\x89PNG\r\n\x1a\n", WHOLE[: len(WHOLE) // 2], huge()],
    ids=["nothing", "text", "signature alone", "half a file", "billions of pixels"],
)
def test_rubbish_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"^scan_7\.png: not a picture that can be decoded"):
        decode_gray(data, "scan_7.png")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    with contextlib.suppress(BadInput):
        assert decode_gray(data, "x").ndim == 2
