"""The image loader: every picture that the project writes or reads as a file passes through here."""

import contextlib
import ctypes
import hashlib
import io
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Mapping
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from cxr.data.strip_metadata import strip_metadata
from cxr.errors import BadInput

# Level 1 with the run-length strategy: a sixth of the default's time at the same size on X-rays (benchmarks/png.py).
PNG_OPTIONS = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
HEADER_END = 8 + 25  # bytes: the signature and IHDR, behind which text chunks may stand
XMP_KEYWORD = "XML:com.adobe.xmp"
# IPTC digital source type, https://cv.iptc.org/newscodes/digitalsourcetype/
GENERATED_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
GENERATED_XMP = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" \
Iptc4xmpExt:DigitalSourceType="{GENERATED_MEDIA}"/></rdf:RDF></x:xmpmeta>"""


def encode_png(pixels: np.ndarray, texts: Mapping[str, str] | None = None) -> bytes:
    """An 8-bit gray PNG of uint8 [H, W], lossless, with an international text chunk for each of `texts`."""
    if pixels.ndim != 2 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"not an 8-bit gray picture: {pixels.dtype} {pixels.shape}")
    png = cv2.imencode(".png", pixels, PNG_OPTIONS)[1].tobytes()
    chunks = b"".join(encode_text_chunk(keyword, text) for keyword, text in (texts or {}).items())
    return png[:HEADER_END] + chunks + png[HEADER_END:]


def encode_text_chunk(keyword: str, text: str) -> bytes:
    """An uncompressed iTXt chunk (PNG specification, 11.3.3.4)."""
    body = b"iTXt" + keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


# --- reading ---

# What torchvision's ImageFolder reads, less the PNM family, whose two letters of signature any text can begin with.
_SIGNATURE = re.compile(
    rb"(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<JPEG>\xff\xd8\xff)|(?P<BMP>BM)|(?P<TIFF>II[*+]\0|MM\0[*+])|(?P<WEBP>RIFF....WEBP)",
    re.DOTALL,
)
# Three times the largest X-ray detector (4,300 x 4,300); below Pillow's own limit, which is not ours to change.
MAX_PIXELS = 64_000_000
MIN_SIDE = 16  # pixels; the field's smallest sets, MNIST and MedMNIST, have 28
ONE_VALUE = "all pixels have one value"
THUMBNAIL = 64  # pixels on a side
_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF 6.0, section 3

# What is wrong with a file is raised once, as RejectedImage, and not printed.
logging.getLogger("PIL").addHandler(logging.NullHandler())
with contextlib.suppress(AttributeError, OSError):  # libtiff prints its errors by default; Pillow has no switch for it
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


class RejectedImage(Exception):
    """A picture that cannot be used. The message is the reason: short, and the same for all of its kind."""


class MissingImage(RejectedImage):
    """A picture whose file is not there."""


def read_gray(data: bytes | np.ndarray) -> np.ndarray:
    """A picture as 8-bit gray, checked.

    Colour becomes luma (ITU-R 601, as in Pillow and OpenCV). What is transparent becomes black, as on the padding of
    `fit_square`. EXIF orientation is applied where it can be read; no other metadata (texts, colour profiles, previews)
    changes the result, however large or damaged. 8-bit values stay as they are. Deeper ones are stretched
    linearly from their smallest and largest to 0 and 255: most 16-bit X-rays use 10 to 14 bits without saying so, and
    dividing by 257 would leave a few dark levels. No value is clipped, so one burnt-in marker far brighter than the
    picture darkens it.

    Args:
        data: the bytes of a PNG, JPEG, BMP, TIFF or WebP file, or pixels, uint8 or uint16, [H, W] or RGB [H, W, 3].

    Returns:
        uint8 [H, W], writable, both sides at least `MIN_SIDE`.

    Raises:
        RejectedImage: it cannot be used: another format, damaged (JPEG, TIFF and BMP have no checksum, so flipped bits
            inside their pixels pass), more than `MAX_PIXELS` by its header (nothing is decoded then), several frames,
            too small, or all pixels have one value.
    """
    pixels = _array_to_gray(data) if isinstance(data, np.ndarray) else _decode_or_strip(data)
    if min(pixels.shape) < MIN_SIDE:
        raise RejectedImage(f"smaller than {MIN_SIDE} pixels on a side")
    if pixels.min() == pixels.max():
        raise RejectedImage(ONE_VALUE)
    return pixels


def is_picture(head: bytes) -> bool:
    """Whether the first bytes of a file, 16 at least, are those of a format that is read."""
    return _SIGNATURE.match(head) is not None


def decode_gray(data: bytes, name: str) -> np.ndarray:
    """The picture in `data` as uint8 [H, W], of any size and content: how the project reads its own pictures back.

    Raises:
        BadInput: these are not the bytes of a picture, or they are damaged.
    """
    try:
        return _decode_or_strip(data)
    except RejectedImage as reason:
        raise BadInput(f"{name}: not a picture that can be decoded: {reason}") from None


def _decode_or_strip(data: bytes) -> np.ndarray:
    """By Pillow: OpenCV saves 0.7 ms of a 512 px JPEG's 1.4, but its codecs write on the terminal what is damaged."""
    signature = _SIGNATURE.match(data)
    if signature is None:
        raise RejectedImage("not a picture format we read (PNG, JPEG, BMP, TIFF, WebP)")
    kind = str(signature.lastgroup)
    try:
        return _open_image(data, kind)
    except _UnreadableImage as why:  # perhaps only for what stands beside the pixels
        bare = strip_metadata(data, kind)
        if bare is None:
            raise
        try:
            return _open_image(bare, kind)
        except _UnreadableImage:
            raise why from None


class _UnreadableImage(RejectedImage):
    """Pillow cannot make a picture of these bytes."""


def _open_image(data: bytes, kind: str) -> np.ndarray:
    try:
        with warnings.catch_warnings(action="ignore"):
            return _decode_pixels(data, kind)
    except RejectedImage:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None
    except Exception:  # Pillow's plugins raise whatever a damaged field leads to: SyntaxError, struct.error ...
        raise _UnreadableImage(f"damaged, truncated or an unusual kind of {kind}") from None


def _decode_pixels(data: bytes, kind: str) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        _require_pixel_count(*image.size)
        image.verify()  # a PNG's checksums, which decoding skips
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # an MPO is a photo with previews behind it
            raise RejectedImage("several frames")
        deep_colour = image.mode[0] not in "IF" and any(";16" in str(tile.args) for tile in image.tile)
        turn = _upright_transpose(image)
        if deep_colour:  # of which Pillow keeps the upper 8 bits only
            return _decode_16_bit_colour(data, kind, turn)
        return _image_to_gray(image if turn is None else image.transpose(turn))


_ORIENTATION = 0x0112  # EXIF 2.3, 4.6.4
_UPRIGHT = 1
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright_transpose(image: Image.Image) -> Image.Transpose | None:
    """What sets the picture upright; not by ImageOps, which writes the EXIF anew and fails where a tag is wrong."""
    image.load()  # a PNG's EXIF may stand behind its pixels, and a TIFF's is applied by loading
    try:
        return _TRANSPOSES.get(image.getexif().get(_ORIENTATION, _UPRIGHT))
    except Exception:  # of a damaged EXIF, whatever its bytes lead to
        return None


def _decode_16_bit_colour(data: bytes, kind: str, turn: Image.Transpose | None) -> np.ndarray:
    """A PNG of 16 bits a colour: one that Pillow has decoded, without extras, gives OpenCV nothing to complain of."""
    if kind != "PNG" or turn:
        raise RejectedImage("16 bits a colour; convert it to 16-bit gray or to 8 bits")
    pixels = cv2.imdecode(np.frombuffer(strip_metadata(data, kind) or data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    gray = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_BGR2GRAY)
    return _stretch_to_8_bits(gray if pixels.shape[2] == 3 else gray * (pixels[..., 3] / 65535))


def _image_to_gray(image: Image.Image) -> np.ndarray:
    if image.mode[0] in "IF":  # I;16, I;16B, I: integers; F: float32
        pixels = _stretch_to_8_bits(np.asarray(image))
        inverted = getattr(image, "tag_v2", {}).get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO  # which Pillow leaves so
        return 255 - pixels if inverted else pixels
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return np.array(image.convert("L"))


def _array_to_gray(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim < 2 or pixels.shape[2:] not in ((), (3,)):
        raise RejectedImage(f"{pixels.dtype} {list(pixels.shape)}, not uint8 or uint16 of [H, W] or [H, W, 3]")
    if not pixels.size:
        raise RejectedImage("no pixels")
    _require_pixel_count(pixels.shape[1], pixels.shape[0])
    pixels = np.array(pixels, order="C")
    gray = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return gray if gray.dtype == np.uint8 else _stretch_to_8_bits(gray)


def _stretch_to_8_bits(pixels: np.ndarray) -> np.ndarray:
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite(high - low):
        raise RejectedImage("values that are infinite or no numbers")
    if low == high:
        raise RejectedImage(ONE_VALUE)
    stretched = np.subtract(pixels, low, dtype=np.float64)  # exact for 32-bit integers
    stretched *= 255 / (high - low)
    return np.rint(stretched, out=stretched).astype(np.uint8)


def _require_pixel_count(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_many_pixels()


def _too_many_pixels() -> RejectedImage:
    return RejectedImage(f"more than {MAX_PIXELS:,} pixels")


# --- sizes and digests ---


def fit_square(pixels: np.ndarray, size: int, aspect: Literal["keep", "square"]) -> np.ndarray:
    """The picture as a square, antialiased.

    Args:
        pixels: uint8 [H, W].
        size: pixels on a side.
        aspect: `keep` scales the longest side to `size` and centres the picture on black; `square` stretches it.

    Returns:
        uint8 [size, size]; the pixels unchanged where they have that size already.
    """
    height, width = pixels.shape
    if aspect == "square":
        return _resize(pixels, size, size)
    longest = max(height, width)
    scaled = _resize(pixels, max(1, round(height * size / longest)), max(1, round(width * size / longest)))
    top, left = ((size - side) // 2 for side in scaled.shape)
    square = np.zeros((size, size), np.uint8)
    square[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return square


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Area averages where a side shrinks, then cubic where one grows, as OpenCV's area method only shrinks."""
    for rows, columns, method in (
        (min(height, pixels.shape[0]), min(width, pixels.shape[1]), cv2.INTER_AREA),
        (height, width, cv2.INTER_CUBIC),
    ):
        if (rows, columns) != pixels.shape:
            pixels = cv2.resize(pixels, (columns, rows), interpolation=method)
    return pixels


def make_thumbnail(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W] stretched to uint8 [64, 64], for finding duplicates and for the trivial baselines."""
    return fit_square(pixels, THUMBNAIL, "square")


def pixels_to_image_id(pixels: np.ndarray) -> str:
    """The image id of an ingested picture uint8 [H, W]: 32 hex digits of the SHA-256 of its shape and pixels."""
    digest = hashlib.sha256("{} {} ".format(*pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:32]
