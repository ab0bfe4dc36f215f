"""PNG files: lossless, 8-bit gray, marked as generated, readable by the libraries of the field; sizes and digests."""

import contextlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from cxr.data.images import (
    GENERATED_XMP,
    XMP_KEYWORD,
    decode_gray,
    encode_png,
    fit_square,
    make_thumbnail,
    pixels_to_image_id,
)
from cxr.embedded.phantoms import draw_phantom
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


@given(pictures, printable)
def test_any_picture_comes_back_unchanged(pixels: np.ndarray, text: str) -> None:
    png = encode_png(pixels, {"cxr": text})
    shown = Image.open(io.BytesIO(png))
    assert shown.mode == "L"
    np.testing.assert_array_equal(np.asarray(shown), pixels)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), pixels)
    np.testing.assert_array_equal(decode_gray(png, "x"), pixels)
    assert shown.text["cxr"] == text


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


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    with contextlib.suppress(BadInput):
        assert decode_gray(data, "x").ndim == 2


# --- sizes and digests ---

sizes = st.integers(1, 70)


@given(npst.arrays(np.uint8, st.tuples(sizes, sizes), elements=st.integers(100, 200)), sizes)
def test_any_picture_fits_any_size(pixels: np.ndarray, size: int) -> None:
    stretched, kept = fit_square(pixels, size, "square"), fit_square(pixels, size, "keep")
    assert stretched.shape == kept.shape == (size, size) and stretched.dtype == kept.dtype == np.uint8
    shown = kept > 0  # cubic weights overshoot, but never from 100 to 200 down to 0
    rows, columns = shown.any(1), shown.any(0)
    assert rows.sum() * columns.sum() == shown.sum(), "padding inside the picture"
    assert (columns if pixels.shape[0] <= pixels.shape[1] else rows).all(), "the longest side does not fill the square"
    assert all(abs(int(np.argmax(side)) - int(np.argmax(side[::-1]))) <= 1 for side in (rows, columns)), "not centred"


def test_a_picture_of_that_size_is_unchanged() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    for aspect in ("keep", "square"):
        np.testing.assert_array_equal(fit_square(pixels, 64, aspect), pixels)


def test_the_aspect_ratio_is_kept_on_black_or_given_up() -> None:
    pixels = np.full((100, 50), 200, np.uint8)
    kept = np.zeros((40, 40), np.uint8)
    kept[:, 10:30] = 200
    np.testing.assert_array_equal(fit_square(pixels, 40, "keep"), kept)
    np.testing.assert_array_equal(fit_square(pixels.T, 40, "keep"), kept.T)
    np.testing.assert_array_equal(fit_square(pixels, 40, "square"), np.full((40, 40), 200))
    np.testing.assert_array_equal(
        fit_square(pixels[::2, ::2], 50, "keep")[:, 12:37], np.full((50, 25), 200)
    )  # only padded


def test_shrinking_is_antialiased() -> None:
    checks = (np.indices((192, 192)).sum(0) % 2 * 255).astype(np.uint8)
    for size in (64, 63, 17):
        assert np.abs(fit_square(checks, size, "square").astype(int) - 127).max() <= 36, "a pattern of its own"
    assert np.abs(fit_square(checks, 48, "square").astype(int) - 127).max() <= 1


def shares(source: int, target: int) -> np.ndarray:
    """float64 [target, source]: which part of each target pixel each source pixel covers."""
    edges = np.arange(source + 1) * (target / source)
    starts, ends = np.maximum.outer(np.arange(target), edges[:-1]), np.minimum.outer(np.arange(target) + 1, edges[1:])
    return np.maximum(ends - starts, 0)


@pytest.mark.parametrize("size", [33, 64, 100, 200, 229])
def test_shrinking_is_the_exact_mean_of_the_area(size: int) -> None:
    pixels = draw_phantom(0, 1, size=256).pixels[:, :230]
    exact = shares(256, size) @ pixels @ shares(230, size).T
    assert np.abs(fit_square(pixels, size, "square") - exact).max() <= 1


def test_growing_agrees_with_pillow() -> None:
    pixels = draw_phantom(0, 1, size=128).pixels
    reference = np.asarray(Image.fromarray(pixels).resize((200, 200), Image.Resampling.BICUBIC)).astype(int)
    difference = np.abs(fit_square(pixels, 200, "square") - reference)
    assert difference.mean() < 1 and np.percentile(difference, 99) <= 8  # two cubics: -0.75 in OpenCV, -0.5 in Pillow


def test_a_thumbnail_is_the_mean_of_each_patch() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (256, 128), dtype=np.uint8)
    means = pixels.reshape(64, 4, 64, 2).mean((1, 3))
    assert np.abs(make_thumbnail(pixels) - means).max() <= 0.5
    assert make_thumbnail(pixels[:28, :28]).shape == (64, 64)


def test_the_image_id_is_that_of_shape_and_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48), dtype=np.uint8)
    changed = pixels.copy()
    changed[31, 47] ^= 1
    others = [changed, pixels.T, pixels[:, ::-1], pixels.reshape(48, 32), pixels[:16], np.zeros_like(pixels)]
    assert len({pixels_to_image_id(p) for p in [pixels, *others]}) == len(others) + 1
    assert pixels_to_image_id(np.asfortranarray(pixels)) == pixels_to_image_id(decode_gray(encode_png(pixels), "x"))
    assert pixels_to_image_id(pixels) == pixels_to_image_id(np.repeat(pixels, 2, axis=1)[:, ::2])
    assert pixels_to_image_id(np.arange(6, dtype=np.uint8).reshape(2, 3)) == "53de41e9e5be8e61b82bad1846dde1e1"
