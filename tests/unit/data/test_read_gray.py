"""The image loader: right gray for every mode and format, one short reason for what cannot be used."""

import io
import os
import random
import re
import resource
import struct
import subprocess
import sys
import time
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from cxr.data.images import MIN_SIDE, RejectedImage, read_gray

ROWS, COLUMNS = np.mgrid[0:24, 0:40]
GRAY = (40 + 4 * COLUMNS + 2 * ROWS).astype(np.uint8)  # smooth, so that JPEG hardly changes it
ALPHA = np.where(COLUMNS < 10, 0, np.where(COLUMNS < 20, 128, 255)).astype(np.uint8)
OVER_BLACK = np.rint(GRAY * (ALPHA / 255)).astype(np.uint8)
DEEP = GRAY.astype(np.uint16) * 16 + 5  # 12 bits in 16
STRETCHED = np.rint((GRAY - 40.0) * (255 / (GRAY.max() - 40.0)))
LOSSLESS = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 100, "subsampling": 0}}


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **{**LOSSLESS.get(kind, {}), **options})
    return file.getvalue()


WHOLE = saved(Image.fromarray(GRAY), "PNG")


def picture(mode: str) -> tuple[Image.Image, np.ndarray]:
    """A picture of that mode and the gray picture it is."""
    gray = Image.fromarray(GRAY)
    if mode == "P":  # a palette that runs backwards, so that indices are no gray levels
        image = Image.fromarray(255 - GRAY, "L").convert("P")
        image.putpalette([value for level in range(256) for value in [255 - level] * 3])
        return image, GRAY
    if mode == "1":
        return gray.point(lambda v: 255 * (v > 128), "1"), np.where(GRAY > 128, 255, 0)
    if mode in ("LA", "RGBA"):
        image = gray.convert(mode)
        image.putalpha(Image.fromarray(ALPHA))
        return image, OVER_BLACK
    if mode in ("I;16", "I;16B"):
        return Image.frombytes(mode, gray.size, DEEP.astype("<u2" if mode == "I;16" else ">u2").tobytes()), STRETCHED
    if mode == "I":
        return Image.fromarray(GRAY.astype(np.int32) * 1_000_000 - 90_000_000), STRETCHED
    if mode == "F":
        return Image.fromarray(GRAY.astype(np.float32) / 7 - 11), STRETCHED
    return gray.convert(mode), GRAY


FORMATS = {
    "L": ("PNG", "JPEG", "BMP", "TIFF", "WEBP"),
    "RGB": ("PNG", "JPEG", "BMP", "TIFF", "WEBP"),
    "P": ("PNG", "BMP", "TIFF"),
    "1": ("PNG", "BMP", "TIFF"),
    "LA": ("PNG", "TIFF"),
    "RGBA": ("PNG", "TIFF", "WEBP"),
    "CMYK": ("JPEG", "TIFF"),
    "YCbCr": ("JPEG", "TIFF"),
    "I;16": ("PNG", "TIFF"),
    "I;16B": ("TIFF",),
    "I": ("TIFF",),
    "F": ("TIFF",),
}
CASES = [(mode, kind) for mode, kinds in FORMATS.items() for kind in kinds]


@pytest.mark.parametrize(("mode", "kind"), CASES)
def test_every_mode_and_format_gives_the_right_gray(mode: str, kind: str) -> None:
    image, expected = picture(mode)
    pixels = read_gray(saved(image, kind))
    assert pixels.dtype == np.uint8 and pixels.flags.writeable
    assert_near(pixels, expected, 2 if kind == "JPEG" or mode == "YCbCr" else 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "array", "deep array"])
def test_colour_becomes_luma(kind: str) -> None:
    colour = np.stack([GRAY, 255 - GRAY, GRAY // 2 + 60], axis=2)
    luma = colour @ np.array([0.299, 0.587, 0.114])
    if kind == "deep array":
        expected = (luma - luma.min()) * (255 / (luma.max() - luma.min()))
        assert_near(read_gray(colour.astype(np.uint16) * 200), expected, 1)
    else:
        given = colour if kind == "array" else saved(Image.fromarray(colour), kind)
        assert_near(read_gray(given), luma, 2)


def test_arrays_pass_as_they_are_or_are_stretched() -> None:
    pixels = read_gray(GRAY[:, ::-1])
    np.testing.assert_array_equal(pixels, GRAY[:, ::-1])
    assert not np.shares_memory(pixels, GRAY)
    assert_near(read_gray(DEEP), STRETCHED, 0)


def test_a_transparent_palette_entry_is_black() -> None:
    image, _ = picture("P")
    level = int(GRAY[3, 30])
    expected = np.where(level == GRAY, 0, GRAY)
    assert_near(read_gray(saved(image, "PNG", transparency=255 - level)), expected, 1)


@pytest.mark.parametrize("mode", ["L", "I;16", "F"])
def test_a_tiff_whose_white_is_zero_is_not_read_inverted(mode: str) -> None:
    image, expected = picture(mode)
    if mode == "L":  # which Pillow inverts while writing
        assert_near(read_gray(saved(image, "TIFF", tiffinfo={262: 0})), expected, 0)
    else:
        assert_near(read_gray(saved(image, "TIFF", tiffinfo={262: 0})), 255 - expected, 1)


UPRIGHT = {
    1: lambda seen: seen,
    2: np.fliplr,
    3: lambda seen: np.rot90(seen, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda seen: np.rot90(seen, -1),
    7: lambda seen: np.rot90(np.transpose(seen), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_once(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    data = saved(Image.fromarray(GRAY), kind, exif=exif)
    assert_near(read_gray(data), UPRIGHT[orientation](GRAY), 2)


def test_a_photo_with_previews_behind_it_is_its_first_picture() -> None:
    preview = Image.fromarray(GRAY[::2, ::2])
    data = saved(Image.fromarray(GRAY), "MPO", save_all=True, append_images=[preview], quality=100)
    assert_near(read_gray(data), GRAY, 2)


# --- rejected ---


def patched(kind: str, width: int, height: int) -> bytes:
    """A small file whose header promises width x height pixels."""
    data = bytearray(saved(Image.fromarray(GRAY), kind))
    if kind == "PNG":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    elif kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
    elif kind == "WEBP":  # VP8L: 14 bits each, less one
        (bits,) = struct.unpack_from("<I", data, 21)
        struct.pack_into("<I", data, 21, (bits & 0xF000_0000) | (height - 1) << 14 | (width - 1))
    else:
        (directory,) = struct.unpack_from("<I", data, 4)
        for at in range(directory + 2, directory + 2 + 12 * struct.unpack_from("<H", data, directory)[0], 12):
            if (tag := struct.unpack_from("<H", data, at)[0]) in (256, 257):
                struct.pack_into("<HII", data, at + 2, 4, 1, width if tag == 256 else height)
    return bytes(data)


BOMBS = [
    *((kind, side, side) for kind in ("PNG", "BMP", "JPEG", "TIFF") for side in (8_001, 11_000, 60_000)),
    *(("WEBP", side, side) for side in (8_001, 11_000, 16_384)),
]


@pytest.mark.parametrize(("kind", "width", "height"), BOMBS)
def test_a_bomb_is_rejected_by_its_header_at_no_cost(kind: str, width: int, height: int) -> None:
    data = patched(kind, width, height)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert reason(data) == "more than 64,000,000 pixels"
    assert time.process_time() - start < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024  # KiB


def frames(kind: str) -> bytes:
    return saved(Image.fromarray(GRAY), kind, save_all=True, append_images=[Image.fromarray(255 - GRAY)])


def deep_colour() -> bytes:
    """A PNG of 16 bits a colour, which Pillow cannot write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.tobytes() for row in np.repeat(DEEP.astype(">u2")[:, :, None], 3, axis=2))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *DEEP.shape[::-1], 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("alpha", [False, True])
def test_sixteen_bits_a_colour_are_read_with_all_their_bits(alpha: bool) -> None:
    layers = np.stack([DEEP] * 3 + [np.full_like(DEEP, 65535)] * alpha, axis=2)
    assert_near(read_gray(cv2.imencode(".png", layers)[1].tobytes()), STRETCHED, 1)
    assert_near(read_gray(deep_colour()), STRETCHED, 1)


# --- what stands beside the pixels ---


def chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    told = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", told)


def beside(name: bytes, body: bytes, **options) -> bytes:
    """The whole PNG with another chunk behind its header."""
    return WHOLE[:33] + chunk(name, body, **options) + WHOLE[33:]


WORKFLOW = b"x" * 3_000_000
TURNED_BADLY = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIf", 0x100, 11, 1, 3.5)
TURNED_BADLY += struct.pack("<HHIHH", 0x112, 3, 1, 6, 0) + b"\0\0\0\0"
SOUND = {
    "a large text": beside(b"zTXt", b"workflow\0\0" + zlib.compress(WORKFLOW)),
    "a large international text": beside(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(WORKFLOW)),
    "a text whose checksum is wrong": beside(b"tEXt", b"a\0b", checksum=1),
    "a text that is none": beside(b"zTXt", b"\xff" * 40),
    "a colour profile that is none": beside(b"iCCP", b"icc\0\0" + b"\xff" * 40),
    "a time of three bytes": beside(b"tIME", b"\0\1\2", checksum=7),
    "no end": WHOLE[:-12],
    "another file behind its end": WHOLE + b"PK\3\4" * 99,
}


@pytest.mark.parametrize("data", SOUND.values(), ids=SOUND)
def test_sound_pixels_are_read_whatever_stands_beside_them(data: bytes) -> None:
    np.testing.assert_array_equal(read_gray(data), GRAY)


@pytest.mark.parametrize(
    ("body", "turn"), [(TURNED_BADLY, -1), (b"Exif\0\0II*\0\xff\xff\xff\xff", 0), (b"Exif\0\0", 0)]
)
def test_a_wrong_exif_tag_costs_no_more_than_itself(body: bytes, turn: int) -> None:
    assert_near(read_gray(saved(Image.fromarray(GRAY), "JPEG", exif=body)), np.rot90(GRAY, turn), 2)


def test_a_damaged_segment_of_a_jpeg_that_is_no_pixel_is_left_out() -> None:
    whole = saved(Image.fromarray(np.stack([GRAY] * 3, axis=2)), "JPEG")
    for marker, body in (
        (b"\xff\xe2", b"MPF\0" + b"\xff" * 30),
        (b"\xff\xed", b"Photoshop 3.0\x008BIM\xff"),
        (b"\xff\xfe", b""),
    ):
        data = whole[:2] + marker + struct.pack(">H", len(body) + 2) + body + whole[2:]
        assert_near(read_gray(data), GRAY, 2)


def test_a_damaged_chunk_that_can_change_pixels_is_not_left_out() -> None:
    image, _ = picture("P")
    data = bytearray(saved(image, "PNG", transparency=3))
    data[data.index(b"tRNS") + 5] ^= 1
    assert reason(bytes(data)).startswith("damaged")


def not_a_number() -> bytes:
    return saved(Image.fromarray(np.where(GRAY[0, 0] == GRAY, np.nan, GRAY).astype(np.float32)), "TIFF")


def flat(mode: str, kind: str) -> bytes:
    return saved(Image.new(mode, (40, 24)), kind)


OTHER = "not a picture format we read (PNG, JPEG, BMP, TIFF, WebP)"
ONE = "all pixels have one value"
SMALL = "smaller than 16 pixels on a side"
ARRAY = "not uint8 or uint16 of [H, W] or [H, W, 3]"
REASONS = {
    "no bytes": (b"", OTHER),
    "text named .png": (b"this is not a picture\n" * 50, OTHER),
    "GIF": (saved(Image.fromarray(GRAY), "GIF"), OTHER),
    "PGM": (saved(Image.fromarray(GRAY), "PPM"), OTHER),
    "HTML": (b"<!doctype html><title>404</title>", OTHER),
    "signature alone": (WHOLE[:8], "damaged, truncated or an unusual kind of PNG"),
    "text that begins as BMP does": (b"BMI of the patient: 23\n" * 9, "damaged, truncated or an unusual kind of BMP"),
    "wrong checksum": (WHOLE[:-13] + b"\0" + WHOLE[-12:], "damaged, truncated or an unusual kind of PNG"),
    "LAB": (flat("LAB", "TIFF"), "damaged, truncated or an unusual kind of TIFF"),
    "APNG": (frames("PNG"), "several frames"),
    "pages": (frames("TIFF"), "several frames"),
    "film": (frames("WEBP"), "several frames"),
    "16 bits a colour, TIFF": (
        cv2.imencode(".tiff", np.stack([DEEP] * 3, axis=2))[1].tobytes(),
        "16 bits a colour; convert it to 16-bit gray or to 8 bits",
    ),
    "no number": (not_a_number(), "values that are infinite or no numbers"),
    "black": (flat("L", "PNG"), ONE),
    "black, 16 bits": (flat("I;16", "PNG"), ONE),
    "nothing but transparent": (flat("RGBA", "PNG"), ONE),
    "small": (saved(Image.fromarray(GRAY[:15]), "PNG"), SMALL),
    "array, one value": (np.full((20, 20), 7, np.uint8), ONE),
    "array, one value, 16 bits": (np.full((20, 20), 700, np.uint16), ONE),
    "array, small": (GRAY[:, :15], SMALL),
    "array, nothing": (GRAY[:0], "no pixels"),
    "array, large": (np.broadcast_to(GRAY[0, 0], (60_000, 60_000)), "more than 64,000,000 pixels"),
    "array of floats": (GRAY.astype(np.float32), f"float32 [24, 40], {ARRAY}"),
    "array, 4 channels": (np.zeros((24, 40, 4), np.uint8), f"uint8 [24, 40, 4], {ARRAY}"),
    "array, a line": (GRAY[0], f"uint8 [40], {ARRAY}"),
    "array, a volume": (np.zeros((24, 40, 3, 2), np.uint8), f"uint8 [24, 40, 3, 2], {ARRAY}"),
}


@pytest.mark.parametrize(("data", "expected"), REASONS.values(), ids=REASONS)
def test_what_cannot_be_used_says_why(data: bytes | np.ndarray, expected: str) -> None:
    assert reason(data) == expected


@pytest.mark.parametrize(("mode", "kind"), CASES)
def test_a_cut_file_never_becomes_half_a_picture(mode: str, kind: str) -> None:
    data = saved(picture(mode)[0], kind)
    whole = read_gray(data)
    for end in {*range(0, len(data), max(1, len(data) // 23)), *range(len(data) - 4, len(data))}:
        try:
            pixels = read_gray(data[:end])
        except RejectedImage:
            continue
        np.testing.assert_array_equal(pixels, whole, f"{end} of {len(data)} bytes")  # what is cut was no pixel


# --- mutations ---

MUTATIONS = 500


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Flipped bits, a cut end, bytes put in, or two runs of bytes (PNG: chunks) swapped."""
    at, other = sorted(dice.randrange(len(data)) for _ in range(2))
    match dice.randrange(5):
        case 0:
            flipped = bytearray(data)
            for _ in range(dice.choice((1, 2, 8, 40))):
                flipped[dice.randrange(len(flipped))] ^= 1 << dice.randrange(8)
            return bytes(flipped)
        case 1:
            return data[:at]
        case 2:
            return data[:at] + dice.randbytes(dice.randrange(1, 40)) + data[at:]
        case 3:
            return data[:at] + data[other:]
        case _:
            marks = [found.start() - 4 for found in re.finditer(rb"IHDR|IDAT|IEND|tEXt|eXIf", data)] or [at // 2, at]
            a, b = sorted(dice.choices([*marks, other], k=2))
            return data[:a] + data[b : b + 30] + data[a:b] + data[b + 30 :]


def test_mutated_files_are_right_or_rejected(capfd: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(0)
    gray, exif = Image.fromarray(GRAY), Image.Exif()
    exif[274] = 6
    bases = [saved(picture(mode)[0], kind) for mode, kind in CASES]
    bases += [saved(gray, kind, exif=exif) for kind in ("PNG", "JPEG", "TIFF", "WEBP")]
    bases += [saved(gray, "TIFF", compression=name) for name in ("jpeg", "tiff_lzw", "packbits")]
    bases += [saved(gray, "JPEG", progressive=True), saved(gray, "GIF"), frames("PNG")]
    outcomes = {"read": 0, "rejected": 0}
    for number in range(MUTATIONS):
        try:
            pixels = read_gray(mutated(bases[number % len(bases)], dice))
        except RejectedImage as error:
            assert 0 < len(str(error)) < 100 and str(error).isprintable()
            outcomes["rejected"] += 1
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 2 and min(pixels.shape) >= MIN_SIDE
            assert pixels.min() < pixels.max()
            outcomes["read"] += 1
    assert min(outcomes.values()) > MUTATIONS // 20, outcomes
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mode", [mode for mode, kind in CASES if kind == "PNG"])
def test_a_mutated_png_is_the_same_picture_or_rejected(mode: str) -> None:
    """Its checksums tell; JPEG, TIFF and BMP have none, so that other pixels pass as pixels."""
    dice, data = random.Random(0), saved(picture(mode)[0], "PNG")
    whole = read_gray(data)
    for _ in range(60):
        try:
            pixels = read_gray(mutated(data, dice))
        except RejectedImage:
            continue
        np.testing.assert_array_equal(pixels, whole)


def test_nothing_reaches_the_terminal() -> None:
    """In a process of its own, as pytest hides what the logging and warnings modules print."""
    samples = bytearray(saved(Image.fromarray(GRAY), "TIFF"))
    (directory,) = struct.unpack_from("<I", samples, 4)
    struct.pack_into("<HHHIH", samples, directory + 2, 277, 3, 1, 9, 0)  # Pillow logs "More samples per pixel than ..."
    cut = saved(Image.fromarray(GRAY), "JPEG")[:-30]
    script = "import sys\nfrom cxr.data.images import RejectedImage, read_gray\nfor data in eval(sys.stdin.read()):\n"
    script += "    try:\n        read_gray(data)\n    except RejectedImage:\n        print('rejected')"
    packed = bytearray(saved(Image.fromarray(GRAY), "TIFF", compression="tiff_lzw"))
    packed[8:40] = b"\xff" * 32  # libtiff prints "Using code not yet in table"
    files = [bytes(samples), bytes(packed), cut, patched("PNG", 11_000, 11_000), WHOLE[:60]]
    command = [sys.executable, "-W", "always", "-c", script]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, input=repr(files), capture_output=True, text=True, env=env, timeout=120)
    assert (done.stdout, done.stderr) == ("rejected\n" * len(files), "")


def reason(data: bytes | np.ndarray) -> str:
    with pytest.raises(RejectedImage) as caught:
        read_gray(data)
    return str(caught.value)


def assert_near(pixels: np.ndarray, expected: np.ndarray, levels: int) -> None:
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(float) - expected).max() <= levels + 0.5
