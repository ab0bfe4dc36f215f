"""The one door for pixels: every picture the project writes or reads as a file passes through here."""

import struct
import zlib
from collections.abc import Mapping

import cv2
import numpy as np

from cxr.errors import BadInput

# Level 1 with the run-length strategy: a sixth of the default's time at the same size on X-rays (benchmarks/png.py).
PNG_OPTIONS = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
HEADER_END = 8 + 25  # bytes: the signature and IHDR, behind which text chunks may stand
XMP_KEYWORD = "XML:com.adobe.xmp"
# IPTC digital source type, https://cv.iptc.org/newscodes/digitalsourcetype/
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
GENERATED_XMP = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" \
Iptc4xmpExt:DigitalSourceType="{GENERATED}"/></rdf:RDF></x:xmpmeta>"""


def encode_png(pixels: np.ndarray, texts: Mapping[str, str] | None = None) -> bytes:
    """An 8-bit gray PNG of uint8 [H, W], lossless, with an international text chunk for each of `texts`."""
    if pixels.ndim != 2 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"not an 8-bit gray picture: {pixels.dtype} {pixels.shape}")
    png = cv2.imencode(".png", pixels, PNG_OPTIONS)[1].tobytes()
    chunks = b"".join(text_chunk(keyword, text) for keyword, text in (texts or {}).items())
    return png[:HEADER_END] + chunks + png[HEADER_END:]


def text_chunk(keyword: str, text: str) -> bytes:
    """An uncompressed iTXt chunk (PNG specification, 11.3.3.4)."""
    body = b"iTXt" + keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def decode_gray(data: bytes, name: str) -> np.ndarray:
    """The picture in `data` as uint8 [H, W].

    Raises:
        BadInput: these are not the bytes of a picture.
    """
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # no bytes at all, or a header that promises billions of pixels
        pixels = None
    if pixels is None:
        raise BadInput(f"{name}: not a picture that can be decoded; is it damaged?")
    return pixels
