"""A PNG's or JPEG's bytes without what stands beside its pixels: texts, colour profiles, EXIF, previews."""

import struct
import zlib
from collections.abc import Iterator

# PNG specification, 11.3: chunks that change no pixel as gray. A chunk of another name stays, even a damaged one.
_PNG_EXTRAS = {
    *(b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI", b"sBIT"),
    *(b"sPLT", b"hIST", b"bKGD", b"pHYs", b"oFFs", b"sCAL", b"tIME", b"caNv", b"vpAg"),
}
# JPEG (ITU-T T.81, B.1.1.3): application data and comments but JFIF's and Adobe's, which tell the colour space.
_JPEG_EXTRAS = {*range(0xE1, 0xEE), 0xEF, 0xFE}
_START_OF_SCAN = 0xDA


def strip_metadata(data: bytes, kind: str) -> bytes | None:
    """The same picture in fewer bytes; None where there is nothing to leave out, or the format is another."""
    pieces = {"PNG": _png_pieces, "JPEG": _jpeg_pieces}.get(kind)
    bare = b"".join(pieces(data)) if pieces else data
    return bare if len(bare) != len(data) else None


def _png_pieces(data: bytes) -> Iterator[bytes]:
    yield data[:8]
    at = 8
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if name not in _PNG_EXTRAS:
            yield data[at:end]
        if name == b"IEND":
            return  # what stands behind is no part of the picture
        at = end
    if at == len(data) and b"IDAT" in data:
        yield struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))  # the pixels are whole, or their own checksum tells


def _jpeg_pieces(data: bytes) -> Iterator[bytes]:
    yield data[:2]
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _START_OF_SCAN:
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if data[at + 1] not in _JPEG_EXTRAS:
            yield data[at:end]
        at = end
    yield data[at:]
